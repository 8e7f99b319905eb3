import { resolve } from 'node:path';

/** The `raftmq` command itself, to start other nodes and programs with. One folder up from src/, dist/ and bundle/. */
export const LAUNCHER = resolve(__dirname, '../bin/raftmq.js');
