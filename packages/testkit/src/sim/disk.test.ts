import { describe, expect, it } from '@jest/globals';
import { createPrng, type Disk } from '@raftmq/base';
import { diskCases } from '../suites/disk.js';
import { SimDisk } from './disk.js';
import { type Life } from './event-heap.js';
import { World } from './world.js';

const times = { writeMinMs: 0.01, writeMaxMs: 0.1, syncMinMs: 0.1, syncMaxMs: 1 };

interface Machine {
  readonly world: World;
  readonly disk: SimDisk;
  readonly attached: Disk;
  readonly life: Life;
}

function machine(seed: number): Machine {
  const world = new World(null);
  const disk = new SimDisk(world, createPrng(seed), times);
  const life: Life = { node: 0, alive: true, pausedUntilMs: 0 };
  return { world, disk, attached: disk.attach(life), life };
}

/** Lets virtual time run until `work` is through. */
async function drive<T>(world: World, work: Promise<T>): Promise<T> {
  let finished = false;
  const end = (): void => {
    finished = true;
  };
  work.then(end, end);
  while (!finished) {
    await world.run(() => finished);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  return work;
}

function crash({ disk }: Machine): void {
  disk.processDied();
  disk.powerCut();
}

describe('Disk: the simulated one', () => {
  for (const { name, run } of diskCases) {
    it.each([1, 2, 3, 4, 5])(`${name}, seed %i`, async (seed) => {
      const host = machine(seed);
      const harness = { disk: host.attached, directory: '/data', crash: async () => crash(host) };
      await drive(host.world, run(harness));
    });
  }
});

describe('SimDisk: power cuts', () => {
  const length = 3 * 4096;

  async function unsyncedWrite(seed: number): Promise<Buffer> {
    const host = machine(seed);
    const { world, attached } = host;
    const file = await attached.open('/d/f', { create: true });
    await drive(world, file.write([Buffer.alloc(length, 1)], 0));
    await drive(world, file.sync());
    await drive(world, attached.syncDirectory('/d'));
    await drive(world, file.write([Buffer.alloc(length, 2)], 0));
    expect((await file.read(0, length)).every((byte) => byte === 2)).toBe(true);
    crash(host);
    return attached.openSync('/d/f').readSync(0, length);
  }

  it('keeps, drops or tears un-synced pages by themselves, at sectors', async () => {
    const shapes = new Set<string>();
    for (let seed = 0; seed < 60; seed++) {
      const bytes = await unsyncedWrite(seed);
      expect(bytes.length).toBe(length);
      let shape = '';
      for (let at = 0; at < length; at += 512) {
        const sector = bytes.subarray(at, at + 512);
        expect(sector.every((byte) => byte === sector[0])).toBe(true);
        shape += sector[0];
      }
      shapes.add(shape);
    }
    expect(shapes.has('1'.repeat(24))).toBe(true);
    expect(shapes.has('2'.repeat(24))).toBe(true);
    // A page that begins new and ends old, and a file whose pages differ.
    expect([...shapes].some((shape) => /^(.{8})*2+1+(.{8})*$/.test(shape))).toBe(true);
    expect(shapes.size).toBeGreaterThan(10);
  });

  it('loses names that were not synced, with their synced bytes', async () => {
    const kept = { lost: 0, there: 0 };
    for (let seed = 0; seed < 30; seed++) {
      const host = machine(seed);
      const file = await host.attached.open('/d/f', { create: true });
      await drive(host.world, file.write([Buffer.from('abc')], 0));
      await drive(host.world, file.sync());
      expect(host.disk.durableBytes('/d/f')).toBeNull();
      crash(host);
      if (await host.attached.exists('/d/f')) {
        kept.there++;
        expect(host.attached.openSync('/d/f').readSync(0, 9).toString()).toBe('abc');
      } else kept.lost++;
    }
    expect(kept.lost).toBeGreaterThan(0);
    expect(kept.there).toBeGreaterThan(0);
  });

  it('keeps the cache when only the process dies', async () => {
    const host = machine(1);
    const file = await host.attached.open('/d/f', { create: true });
    await drive(host.world, file.write([Buffer.from('abc')], 0));
    host.disk.processDied();
    expect(host.attached.openSync('/d/f').readSync(0, 9).toString()).toBe('abc');
  });

  it('makes a sync cover what was written before its call, and nothing that came later', async () => {
    const host = machine(1);
    const file = await host.attached.open('/d/f', { create: true });
    await drive(host.world, host.attached.syncDirectory('/d'));
    await drive(host.world, file.write([Buffer.from('abc')], 0));
    const sync = file.sync();
    const later = file.write([Buffer.from('def')], 3);
    await drive(host.world, Promise.all([sync, later]));
    expect(host.disk.durableBytes('/d/f')!.toString()).toBe('abc');
    expect(host.disk.isDurable('/d/f', 1, Buffer.from('bc'))).toBe(true);
    expect(host.disk.isDurable('/d/f', 1, Buffer.from('bcd'))).toBe(false);
  });

  it('forgets what a failed sync should have written, while the cache shows it', async () => {
    const host = machine(1);
    const file = await host.attached.open('/d/f', { create: true });
    await drive(host.world, host.attached.syncDirectory('/d'));
    await drive(host.world, file.write([Buffer.from('abc')], 0));
    host.disk.failNext({ operation: 'sync', code: 'EIO' });
    await expect(drive(host.world, file.sync())).rejects.toMatchObject({ code: 'EIO' });
    expect(file.readSync(0, 9).toString()).toBe('abc');
    expect(host.disk.durableBytes('/d/f')!.length).toBe(0);
  });

  it('answers a paused process when it goes on, and a dead one never', async () => {
    const host = machine(1);
    const file = await host.attached.open('/d/f', { create: true });
    let answeredAtMs = 0;
    host.life.pausedUntilMs = 500;
    const write = file.write([Buffer.from('abc')], 0).then(() => {
      answeredAtMs = host.world.nowMs;
    });
    await drive(host.world, write);
    expect(answeredAtMs).toBe(500);
    let answered = false;
    void file.sync().then(() => {
      answered = true;
    });
    host.life.alive = false;
    await host.world.run(() => false);
    expect(answered).toBe(false);
  });
});
