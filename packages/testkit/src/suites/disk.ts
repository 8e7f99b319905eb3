import { ok, rejects, strictEqual, throws } from 'node:assert';
import { type Disk } from '@raftmq/base';

/** A disk, and a directory on it that exists and is empty. Each case gets a fresh one. */
export interface DiskHarness {
  readonly disk: Disk;
  readonly directory: string;
  /** Takes the power away: open files are gone, what was not synced may be. Undefined for the real disk. */
  readonly crash?: () => Promise<void>;
}

/** One promise of `Disk`, as a function of an implementation. Fails by throwing. */
export interface DiskCase {
  readonly name: string;
  /** Only for disks that can lose power. */
  readonly needsCrash: boolean;
  readonly run: (harness: DiskHarness) => Promise<void>;
}

const code = (expected: string) => (error: unknown) => {
  strictEqual((error as { code?: unknown }).code, expected);
  return true;
};

/** Every promise that `Disk` and `DiskFile` make; run them all against each implementation. */
export const diskCases: readonly DiskCase[] = [
  {
    name: 'opens, creates and misses files',
    needsCrash: false,
    run: async ({ disk, directory }) => {
      const path = `${directory}/file`;
      await rejects(disk.open(path, { create: false }), code('ENOENT'));
      throws(() => disk.openSync(path), code('ENOENT'));
      strictEqual(await disk.exists(path), false);
      const file = await disk.open(path, { create: true });
      strictEqual(file.path, path);
      strictEqual(file.sizeBytes(), 0);
      strictEqual(await disk.exists(path), true);
      await file.write([Buffer.from('abc')], 0);
      await file.close();
      const again = await disk.open(path, { create: true });
      strictEqual(again.sizeBytes(), 3, 'opening with create keeps what is there');
      await again.close();
      const third = disk.openSync(path);
      strictEqual(third.readSync(0, 9).toString(), 'abc');
      await third.close();
    },
  },
  {
    name: 'writes buffers back to back and reads any range',
    needsCrash: false,
    run: async ({ disk, directory }) => {
      const file = await disk.open(`${directory}/file`, { create: true });
      await file.write([Buffer.from('hello '), Buffer.alloc(0), Buffer.from('world')], 0);
      strictEqual(file.sizeBytes(), 11);
      strictEqual((await file.read(3, 5)).toString(), 'lo wo');
      strictEqual(file.readSync(3, 5).toString(), 'lo wo');
      strictEqual((await file.read(8, 100)).toString(), 'rld', 'a read is shorter only at the end');
      strictEqual((await file.read(11, 4)).length, 0);
      strictEqual(file.readSync(500, 4).length, 0);
      await file.write([Buffer.from('J')], 0);
      strictEqual(file.sizeBytes(), 11);
      strictEqual((await file.read(0, 11)).toString(), 'Jello world');
      const mine = await file.read(0, 5);
      mine.fill(0);
      strictEqual((await file.read(0, 5)).toString(), 'Jello', 'the result belongs to the caller');
      await file.close();
    },
  },
  {
    name: 'fills what was skipped with zeros',
    needsCrash: false,
    run: async ({ disk, directory }) => {
      const file = await disk.open(`${directory}/file`, { create: true });
      await file.write([Buffer.from('x')], 5000);
      strictEqual(file.sizeBytes(), 5001);
      const bytes = await file.read(0, 5001);
      strictEqual(bytes.length, 5001);
      ok(bytes.subarray(0, 5000).every((byte) => byte === 0));
      strictEqual(bytes[5000], 0x78);
      await file.close();
    },
  },
  {
    name: 'takes writes to different ranges at the same time',
    needsCrash: false,
    run: async ({ disk, directory }) => {
      const file = await disk.open(`${directory}/file`, { create: true });
      const writes = Array.from({ length: 50 }, (_, i) =>
        file.write([Buffer.alloc(1000, i)], i * 1000),
      );
      await Promise.all([...writes, file.sync()]);
      const bytes = await file.read(0, 50_000);
      for (let i = 0; i < 50; i++)
        ok(bytes.subarray(i * 1000, (i + 1) * 1000).every((byte) => byte === i));
      await file.close();
    },
  },
  {
    name: 'truncates and grows again with zeros',
    needsCrash: false,
    run: async ({ disk, directory }) => {
      const file = await disk.open(`${directory}/file`, { create: true });
      await file.write([Buffer.alloc(9000, 7)], 0);
      await file.truncate(100);
      strictEqual(file.sizeBytes(), 100);
      strictEqual((await file.read(0, 9000)).length, 100);
      await file.write([Buffer.from('z')], 200);
      const bytes = await file.read(0, 9000);
      strictEqual(bytes.length, 201);
      ok(
        bytes.subarray(100, 200).every((byte) => byte === 0),
        'cut bytes do not come back',
      );
      await file.close();
    },
  },
  {
    name: 'lists, renames over, unlinks and removes',
    needsCrash: false,
    run: async ({ disk, directory }) => {
      strictEqual((await disk.list(`${directory}/none`)).length, 0);
      for (const name of ['b', 'a', 'c']) {
        const file = await disk.open(`${directory}/${name}`, { create: true });
        await file.write([Buffer.from(name)], 0);
        await file.close();
      }
      await disk.makeDirectory(`${directory}/d/e`);
      await disk.makeDirectory(`${directory}/d/e`);
      // A disk in memory may know directories by their files only.
      await (await disk.open(`${directory}/d/e/f`, { create: true })).close();
      strictEqual((await disk.list(directory)).join(), 'a,b,c,d');
      strictEqual((await disk.list(`${directory}/d`)).join(), 'e');
      await disk.rename(`${directory}/a`, `${directory}/b`);
      const renamed = disk.openSync(`${directory}/b`);
      strictEqual(renamed.readSync(0, 9).toString(), 'a');
      await renamed.close();
      await disk.unlink(`${directory}/c`);
      await rejects(disk.unlink(`${directory}/c`), code('ENOENT'));
      await disk.removeDirectory(`${directory}/d`);
      await disk.removeDirectory(`${directory}/d`);
      await disk.syncDirectory(directory);
      strictEqual((await disk.list(directory)).join(), 'b');
    },
  },
  {
    name: 'keeps an open file readable after unlink',
    needsCrash: false,
    run: async ({ disk, directory }) => {
      const file = await disk.open(`${directory}/file`, { create: true });
      await file.write([Buffer.from('abc')], 0);
      await disk.unlink(`${directory}/file`);
      strictEqual((await file.read(0, 3)).toString(), 'abc');
      await file.close();
    },
  },
  {
    name: 'reports a usage that adds up',
    needsCrash: false,
    run: async ({ disk, directory }) => {
      const { usedBytes, freeBytes, totalBytes } = await disk.usage(directory);
      ok(totalBytes > 0);
      ok(usedBytes >= 0 && usedBytes <= totalBytes);
      ok(freeBytes >= 0 && freeBytes <= totalBytes);
    },
  },
  {
    name: 'keeps what was synced over a power cut',
    needsCrash: true,
    run: async ({ disk, directory, crash }) => {
      ok(crash !== undefined, 'the harness can take the power away');
      const file = await disk.open(`${directory}/file`, { create: true });
      await file.write([Buffer.alloc(10_000, 1)], 0);
      await file.sync();
      await disk.syncDirectory(directory);
      await file.write([Buffer.alloc(10_000, 2)], 10_000);
      await crash();
      const again = await disk.open(`${directory}/file`, { create: false });
      const bytes = await again.read(0, 10_000);
      strictEqual(bytes.length, 10_000);
      ok(bytes.every((byte) => byte === 1));
      await again.close();
    },
  },
];
