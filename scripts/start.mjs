// npm start: install, build, run a 3-replica cluster with the quickstart.
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { build, checkNode, ensureInstalled, root } from './run.mjs';

checkNode();
ensureInstalled();
build();
const cli = join(root, 'packages', 'cli', 'bin', 'raftmq.js');
const child = spawn(process.execPath, [cli, 'dev', '--quickstart', ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
child.on('exit', (code, signal) => process.exit(code ?? (signal === null ? 1 : 128)));
