import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { lockDataDirectory } from './directory-lock.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'raftmq-lock-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** A process that listens on the socket file only, as one in another network namespace would. */
async function listener(path: string): Promise<ChildProcessByStdio<null, Readable, null>> {
  const script = `require('net').createServer((s) => s.end(String(process.pid))).listen(${JSON.stringify(path)}, () => console.log('up'))`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  return child;
}

describe('lockDataDirectory', () => {
  it('lets one in, names it to the second, and lets the next in after release', async () => {
    const lock = await lockDataDirectory(directory);
    await expect(lockDataDirectory(directory)).rejects.toMatchObject({
      code: 'DATA_DIRECTORY_LOCKED',
      message: expect.stringContaining(`process ${process.pid}`),
    });
    await lock.release();
    expect(existsSync(join(directory, 'lock.sock'))).toBe(false);
    await (await lockDataDirectory(directory)).release();
  });

  it('lets exactly one of many in that start together', async () => {
    const outcomes = await Promise.allSettled(
      Array.from({ length: 8 }, () => lockDataDirectory(directory)),
    );
    const locks = outcomes.flatMap((outcome) =>
      outcome.status === 'fulfilled' ? [outcome.value] : [],
    );
    expect(locks).toHaveLength(1);
    await locks[0]!.release();
  });

  it('sees another process through the socket file, and replaces the file after kill -9', async () => {
    const child = await listener(join(directory, 'lock.sock'));
    await expect(lockDataDirectory(directory)).rejects.toMatchObject({
      code: 'DATA_DIRECTORY_LOCKED',
      message: expect.stringContaining(`process ${child.pid}`),
    });
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
    expect(existsSync(join(directory, 'lock.sock'))).toBe(true);
    await (await lockDataDirectory(directory)).release();
  });

  it('works in a directory whose path is longer than a socket address', async () => {
    const deep = join(directory, 'd'.repeat(120), 'e'.repeat(50));
    mkdirSync(deep, { recursive: true });
    const lock = await lockDataDirectory(deep);
    await expect(lockDataDirectory(deep)).rejects.toMatchObject({ code: 'DATA_DIRECTORY_LOCKED' });
    await lock.release();
    await (await lockDataDirectory(deep)).release();
  });

  it('replaces a file of that name that is no socket, and may be released twice', async () => {
    writeFileSync(join(directory, 'lock.sock'), 'x');
    const lock = await lockDataDirectory(directory);
    await lock.release();
    await lock.release();
    expect(existsSync(join(directory, 'lock.sock'))).toBe(false);
  });
});
