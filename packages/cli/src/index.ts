export { main, type MainEnvironment } from './main.js';
