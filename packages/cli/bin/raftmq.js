#!/usr/bin/env node
'use strict';
// The `raftmq` command. Servers and the simulator are started by path, so that the tools never load them; everything
// else is packages/cli. Plain JavaScript, because it has to run, and explain itself, before anything is built.
const { existsSync } = require('node:fs');
const { resolve } = require('node:path');

const MAINS = {
  namesrv: '../../namesrv/bundle/main.js',
  broker: '../../broker/bundle/main.js',
  sim: '../../testkit/bundle/main.js',
};

const [first = '', ...rest] = process.argv.slice(2);
const mapped = Object.hasOwn(MAINS, first);
const path = resolve(__dirname, mapped ? MAINS[first] : '../bundle/main.js');

// A node of `raftmq dev` ends with its parent, however the parent ends: the pipe on stdin closes with it.
if (process.env.RAFTMQ_STOP_WITH_PARENT === '1') {
  process.stdin.on('error', () => undefined);
  process.stdin.on('close', () => process.kill(process.pid, 'SIGTERM'));
  process.stdin.resume();
  process.stdin.unref?.();
}

if (!existsSync(path)) {
  process.stderr.write(
    `raftmq: ${path} does not exist; run \`npm run build\` in the checkout first\n`,
  );
  process.exitCode = 1;
} else {
  require(path)
    .main(mapped ? rest : process.argv.slice(2))
    .then(
      (code) => process.exit(code),
      (error) => {
        process.stderr.write(`raftmq: ${error?.stack ?? error}\n`);
        process.exit(error?.name === 'AssertionFailure' ? 70 : 1);
      },
    );
}
