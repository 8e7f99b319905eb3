export { makeEntries, makeEntriesBehind, type EntriesPlan } from './entries.js';
