import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { crc32, nodeDisk, silentLogger, type Disk, type DiskFile } from '@raftmq/base';
import { FileHardStateStore } from './file-hard-state-store.js';

let directory: string;
beforeEach(() => {
  directory = join(mkdtempSync(join(tmpdir(), 'raftmq-vote-')), 'raft');
});
afterEach(() => rmSync(join(directory, '..'), { recursive: true, force: true }));

const store = (disk: Disk = nodeDisk, mustExist = false) =>
  new FileHardStateStore({ disk, directory, logger: silentLogger, mustExist });

async function loadOnce(): Promise<{ term: number; votedFor: number | null }> {
  const fresh = store();
  const state = await fresh.load();
  await fresh.close();
  return state;
}

async function saved(...states: { term: number; votedFor: number | null }[]): Promise<void> {
  const first = store();
  await first.load();
  for (const state of states) await first.save(state);
  await first.close();
}

/** The real disk, with every call that changes something noted, and writes or syncs that fail on demand. */
function notingDisk(notes: string[], failAt: string | null = null): Disk {
  const note = (text: string): void => {
    notes.push(text);
    if (text === failAt) throw Object.assign(new Error('EIO: injected'), { code: 'EIO' });
  };
  const wrap = (file: DiskFile, name: string): DiskFile => ({
    path: file.path,
    sizeBytes: () => file.sizeBytes(),
    read: (position, lengthBytes) => file.read(position, lengthBytes),
    readSync: (position, lengthBytes) => file.readSync(position, lengthBytes),
    close: () => file.close(),
    truncate: (sizeBytes) => file.truncate(sizeBytes),
    async write(buffers, position) {
      note(`write ${name}`);
      await file.write(buffers, position);
    },
    async sync() {
      note(`sync ${name}`);
      await file.sync();
    },
  });
  return {
    ...nodeDisk,
    open: async (path, options) =>
      wrap(await nodeDisk.open(path, options), path.split('/').at(-1)!),
    async syncDirectory(path) {
      note('sync directory');
      await nodeDisk.syncDirectory(path);
    },
  };
}

describe('FileHardStateStore', () => {
  it('starts with term 0 and remembers the last save', async () => {
    expect(await loadOnce()).toEqual({ term: 0, votedFor: null });
    await saved({ term: 1, votedFor: 0 }, { term: 7, votedFor: null }, { term: 8, votedFor: 2 });
    expect(await loadOnce()).toEqual({ term: 8, votedFor: 2 });
    expect(readdirSync(directory)).toEqual(['vote-a', 'vote-b']);
  });

  it('syncs each slot before it touches the other, and the directory before load resolves', async () => {
    const notes: string[] = [];
    const noting = store(notingDisk(notes));
    await noting.load();
    const once = ['write vote-a', 'sync vote-a', 'write vote-b', 'sync vote-b'];
    expect(notes).toEqual(['sync directory', ...once]);
    notes.length = 0;
    await Promise.all([
      noting.save({ term: 1, votedFor: null }),
      noting.save({ term: 2, votedFor: 1 }),
    ]);
    expect(notes).toEqual([...once, ...once]);
    await noting.close();
  });

  it('reads the newest state whatever single byte of one slot is damaged', async () => {
    await saved({ term: 4, votedFor: 1 }, { term: 5, votedFor: 2 });
    for (const name of ['vote-a', 'vote-b']) {
      const path = join(directory, name);
      const good = readFileSync(path);
      for (let at = 0; at < good.length; at++) {
        const bad = Buffer.from(good);
        bad[at]! ^= 0x10;
        writeFileSync(path, bad);
        expect(await loadOnce()).toEqual({ term: 5, votedFor: 2 });
        expect(readFileSync(path)).toHaveLength(good.length);
        expect(readFileSync(path).equals(bad)).toBe(false);
      }
    }
  });

  it('takes the finished slot after a crash between the two writes, and makes the slots equal', async () => {
    await saved({ term: 4, votedFor: 1 });
    const before = readFileSync(join(directory, 'vote-b'));
    await saved({ term: 5, votedFor: 0 });
    writeFileSync(join(directory, 'vote-b'), before);
    expect(await loadOnce()).toEqual({ term: 5, votedFor: 0 });
    expect(readFileSync(join(directory, 'vote-b'))).toEqual(
      readFileSync(join(directory, 'vote-a')),
    );
  });

  it.each([10, 32])(
    'refuses to start when both slots are bad (b has %i bytes)',
    async (sizeBytes) => {
      await saved({ term: 3, votedFor: 1 });
      writeFileSync(join(directory, 'vote-a'), Buffer.alloc(32));
      writeFileSync(join(directory, 'vote-b'), Buffer.alloc(sizeBytes));
      await expect(store().load()).rejects.toMatchObject({
        code: 'LOG_CORRUPTED',
        message: expect.stringContaining('could elect two leaders'),
      });
    },
  );

  it('takes an empty b beside a bad a for an interrupted first save, unless the caller knows better', async () => {
    const interrupt = async () => {
      await saved({ term: 3, votedFor: 1 });
      writeFileSync(join(directory, 'vote-a'), Buffer.alloc(32));
      writeFileSync(join(directory, 'vote-b'), Buffer.alloc(0));
    };
    await interrupt();
    expect(await loadOnce()).toEqual({ term: 0, votedFor: null });
    await interrupt();
    await expect(store(nodeDisk, true).load()).rejects.toMatchObject({ code: 'LOG_CORRUPTED' });
  });

  it('refuses missing files when the replica has voted before', async () => {
    await expect(store(nodeDisk, true).load()).rejects.toMatchObject({
      code: 'LOG_CORRUPTED',
      message: expect.stringContaining('has voted before'),
    });
    await saved({ term: 1, votedFor: 0 });
    const existing = store(nodeDisk, true);
    expect(await existing.load()).toEqual({ term: 1, votedFor: 0 });
    await existing.close();
  });

  it('refuses a slot of a newer format', async () => {
    await saved({ term: 1, votedFor: 0 });
    const bytes = readFileSync(join(directory, 'vote-a'));
    bytes.writeUInt32BE(2, 4);
    bytes.writeUInt32BE(crc32(bytes.subarray(0, 28)), 28);
    writeFileSync(join(directory, 'vote-a'), bytes);
    await expect(store().load()).rejects.toMatchObject({ code: 'VERSION_UNSUPPORTED' });
  });

  it.each(['write vote-a', 'sync vote-a', 'write vote-b', 'sync vote-b'])(
    'rejects this save and every later one after a failed %s',
    async (failAt) => {
      await saved({ term: 1, votedFor: 0 });
      const notes: string[] = [];
      const failing = store(notingDisk(notes, failAt));
      await failing.load();
      const failed = failing.save({ term: 2, votedFor: 1 });
      await expect(failed).rejects.toMatchObject({ code: 'DISK_FAILED' });
      const count = notes.length;
      await expect(failing.save({ term: 3, votedFor: 1 })).rejects.toMatchObject({
        code: 'DISK_FAILED',
      });
      expect(notes).toHaveLength(count);
      await failing.close();
    },
  );
});
