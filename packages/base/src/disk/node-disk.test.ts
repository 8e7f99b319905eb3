import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { nodeDisk } from './node-disk.js';

let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'raftmq-disk-'));
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

describe('nodeDisk', () => {
  it('makes files and directories that only their owner can read', async () => {
    await nodeDisk.makeDirectory(join(directory, 'a/b/c'));
    const file = await nodeDisk.open(join(directory, 'a/b/c/f'), { create: true });
    await file.close();
    for (const name of ['a', 'a/b', 'a/b/c']) {
      expect(fs.statSync(join(directory, name)).mode & 0o777).toBe(0o700);
    }
    expect(fs.statSync(join(directory, 'a/b/c/f')).mode & 0o777).toBe(0o600);
    await nodeDisk.makeDirectory(join(directory, 'a/b/c'));
  });

  it('writes more buffers in one call than one system call takes, empty ones among them', async () => {
    const file = await nodeDisk.open(join(directory, 'f'), { create: true });
    const buffers = Array.from({ length: 5000 }, (_, i) => Buffer.alloc(i % 7, i % 251));
    await file.write(buffers, 3);
    const whole = Buffer.concat(buffers);
    expect(file.sizeBytes()).toBe(3 + whole.length);
    expect(file.readSync(3, whole.length).equals(whole)).toBe(true);
    await file.write([], 0);
    await file.write([Buffer.alloc(0)], 1);
    expect(file.sizeBytes()).toBe(3 + whole.length);
    await file.close();
  });

  it('touches nothing after close, although the descriptor may name another file by then', async () => {
    const file = await nodeDisk.open(join(directory, 'f'), { create: true });
    await file.close();
    const other = await nodeDisk.open(join(directory, 'g'), { create: true });
    await expect(file.write([Buffer.from('x')], 0)).rejects.toThrow('is closed');
    await expect(file.truncate(0)).rejects.toThrow('is closed');
    await expect(file.sync()).rejects.toThrow('is closed');
    await expect(file.read(0, 1)).rejects.toThrow('is closed');
    expect(() => file.readSync(0, 1)).toThrow('is closed');
    await expect(file.close()).rejects.toThrow('is closed');
    expect(other.sizeBytes()).toBe(0);
    expect(fs.statSync(join(directory, 'g')).size).toBe(0);
    await other.close();
  });

  it('rejects with the code of the system', async () => {
    await expect(nodeDisk.open(join(directory, 'none'), { create: false })).rejects.toMatchObject({
      code: 'ENOENT',
    });
    expect(() => nodeDisk.openSync(join(directory, 'none'))).toThrow('ENOENT');
    await expect(nodeDisk.unlink(join(directory, 'none'))).rejects.toMatchObject({
      code: 'ENOENT',
    });
    await expect(nodeDisk.syncDirectory(join(directory, 'none'))).rejects.toMatchObject({
      code: 'ENOENT',
    });
    fs.writeFileSync(join(directory, 'f'), '');
    await expect(nodeDisk.makeDirectory(join(directory, 'f/g'))).rejects.toMatchObject({
      code: 'ENOTDIR',
    });
  });

  it('knows how full the file system is', async () => {
    const usage = await nodeDisk.usage(directory);
    expect(usage.totalBytes).toBeGreaterThan(0);
    expect(usage.freeBytes).toBeGreaterThan(0);
    expect(usage.usedBytes).toBeGreaterThan(0);
    expect(usage.usedBytes).toBeLessThanOrEqual(usage.totalBytes);
    await expect(nodeDisk.usage(join(directory, 'none'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
