import { describe, expect, it } from '@jest/globals';
import {
  createPrng,
  isMqError,
  loadConfig,
  silentLogger,
  type Clock,
  type Prng,
} from '@raftmq/base';
import { CommitLog, commitLogSettings } from '@raftmq/broker-store';
import { type Entry } from '@raftmq/raft';
import { makeEntries, makeEntriesBehind } from '@raftmq/broker-store/testing';
import { sameEntries } from './log-storage.js';
import { MemoryDisk } from './memory-disk.js';

const DIRECTORY = '/data/commitlog';
const SEEDS = 40;

/** One log, its disk, and what is allowed to be found after a crash. */
class CrashedLog {
  readonly disk: MemoryDisk;
  readonly #random: Prng;
  readonly #flushDiskType: 'SYNC_FLUSH' | 'ASYNC_FLUSH';
  #timers: (() => void)[] = [];
  #log!: CommitLog;
  readonly #cutChance: number;
  #term = 1;
  /** What readers saw after each append since the last one that was acknowledged; that one is first. */
  #states: Entry[][] = [[]];
  /** Entries that must be there after a power cut: acknowledged, and not cut off by anything called since. */
  #promisedCount = 0;
  /** The same without the batch that was acknowledged last. */
  #provenCount = 0;
  #steps = 0;
  #promisedAtStep = -1;

  constructor(seed: number, flushDiskType: 'SYNC_FLUSH' | 'ASYNC_FLUSH') {
    this.#random = createPrng(seed);
    this.disk = new MemoryDisk(this.#random.fork('disk'));
    this.#flushDiskType = flushDiskType;
    this.#cutChance = this.#random.pick([0.05, 0.4]);
  }

  get log(): CommitLog {
    return this.#log;
  }

  get entries(): readonly Entry[] {
    return this.#states.at(-1)!;
  }

  /** Entries that a later batch, or an idle moment, proves to have been durable. */
  get provenCount(): number {
    return this.#provenCount;
  }

  /** Opens the log; now and then it takes several attempts, because each but the last one crashes on its way. */
  async open(): Promise<void> {
    while (this.#random.chance(0.3)) {
      void this.#start().catch(() => undefined);
      await this.#diskSteps(this.#random.integer(0, 12));
      await this.disk.crash(this.#random.chance(0.7));
    }
    this.#log = await this.disk.drive(this.#start());
  }

  #start(): Promise<CommitLog> {
    this.#timers = [];
    const timers = this.#timers;
    const clock: Clock = {
      wallMs: () => 5_000,
      monotonicMs: () => 0,
      setTimer(_delayMs, fire) {
        timers.push(fire);
        return () => void (timers.includes(fire) && timers.splice(timers.indexOf(fire), 1));
      },
    };
    const config = loadConfig(commitLogSettings, {
      flags: { segmentSizeBytes: '64KiB', cacheBytes: '64KiB', flushDiskType: this.#flushDiskType },
    });
    return CommitLog.open({
      disk: this.disk,
      directory: DIRECTORY,
      config,
      logger: silentLogger,
      clock,
    });
  }

  /** A random append: more entries, or now and then another tail. */
  append(): void {
    const random = this.#random;
    const before = this.entries;
    const cuts = before.length > 0 && random.chance(this.#cutChance);
    const kept = cuts
      ? random.integer(Math.max(0, before.length - 40), before.length - 1)
      : before.length;
    if (cuts) this.#term++;
    const plan = {
      count: random.integer(1, 6),
      payloadBytes: random.pick([0, 90, 700, 5000]),
      term: this.#term,
    };
    const last = before[kept - 1];
    const added = last === undefined ? makeEntries(plan) : makeEntriesBehind(last, plan);
    const state = [...before.slice(0, kept), ...added];
    this.#states.push(state);
    this.#promisedCount = Math.min(this.#promisedCount, kept);
    this.#provenCount = Math.min(this.#provenCount, kept);
    this.#log.append(added).then(
      () => {
        const at = this.#states.indexOf(state);
        if (this.#flushDiskType === 'ASYNC_FLUSH') return;
        this.#states.splice(0, at);
        if (this.#promisedAtStep !== this.#steps) this.#provenCount = this.#promisedCount;
        this.#promisedAtStep = this.#steps;
        let promised = state.length;
        for (const later of this.#states) promised = Math.min(promised, commonCount(state, later));
        this.#promisedCount = promised;
      },
      () => undefined,
    );
  }

  /** Lets disk operations and timers happen, and reads in between. */
  async run(steps: number): Promise<void> {
    for (let i = 0; i < steps; i++) {
      await this.#diskSteps(1);
      if (this.#random.chance(0.05)) this.#timers.shift()?.();
      if (this.#random.chance(0.1)) this.#readSome();
    }
  }

  async #diskSteps(steps: number): Promise<void> {
    for (let i = 0; i < steps; i++) {
      this.disk.step();
      this.#steps++;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Reads any range: it has to be what was appended last. */
  #readSome(): void {
    const expected = this.entries;
    if (expected.length === 0) return;
    const from = this.#random.integer(1, expected.length);
    const through = this.#random.integer(from, Math.min(expected.length, from + 30));
    sameEntries(this.#log.read(from, through, Infinity), expected.slice(from - 1, through));
  }

  /** Lets everything called so far finish. */
  async settle(): Promise<void> {
    await this.disk.drive(this.#log.close());
    this.#promisedCount = this.entries.length;
    this.#provenCount = this.entries.length;
    this.#states = [[...this.entries]];
  }

  /** Checks what is there after a restart, and goes on from it. */
  checkFound(): void {
    const { lastIndex } = this.#log;
    expect(lastIndex).toBeGreaterThanOrEqual(this.#promisedCount);
    const found = lastIndex === 0 ? [] : this.#log.read(1, lastIndex, Infinity);
    const matching = this.#states.find((state) =>
      found.every((entry, i) => state[i]?.frame.equals(entry.frame)),
    );
    expect(matching).toBeDefined();
    sameEntries(found, matching!.slice(0, lastIndex));
    this.#states = [[...found]];
    this.#promisedCount = lastIndex;
    this.#term += 1;
  }
}

function commonCount(a: readonly Entry[], b: readonly Entry[]): number {
  let count = 0;
  while (count < a.length && count < b.length && a[count] === b[count]) count++;
  return count;
}

describe.each(['SYNC_FLUSH', 'ASYNC_FLUSH'] as const)(
  'CommitLog and power cuts, %s',
  (flushDiskType) => {
    it(`keeps its promises over ${SEEDS} seeds of appends, cuts, kills and power cuts`, async () => {
      for (let seed = 1; seed <= SEEDS; seed++) {
        const random = createPrng(seed).fork('plan');
        const crashed = new CrashedLog(seed, flushDiskType);
        await crashed.open();
        try {
          for (let round = 0; round < 4; round++) {
            const appends = random.integer(1, 25);
            for (let i = 0; i < appends; i++) {
              crashed.append();
              await crashed.run(random.integer(0, 6));
            }
            if (random.chance(0.2)) await crashed.settle();
            await crashed.disk.crash(random.chance(0.7));
            await crashed.open();
            crashed.checkFound();
          }
        } catch (error) {
          throw new Error(`seed ${seed}`, { cause: error });
        }
      }
    }, 120_000);
  },
);

describe('CommitLog and rot', () => {
  it('never loses an acknowledged entry in silence, whatever byte rots before whatever crash', async () => {
    let refused = 0;
    for (let seed = 1; seed <= 2 * SEEDS; seed++) {
      const random = createPrng(seed).fork('rot');
      const crashed = new CrashedLog(seed, 'SYNC_FLUSH');
      await crashed.open();
      for (let i = random.integer(5, 30); i > 0; i--) {
        crashed.append();
        await crashed.run(8);
      }
      if (random.chance(0.5)) await crashed.settle();
      const { provenCount } = crashed;
      if (provenCount === 0) continue;
      // The batch that was acknowledged last is left alone: without an idle moment nothing says that it was durable.
      const victim = crashed.entries[random.integer(0, provenCount - 1)]!;
      const name = (await crashed.disk.list(DIRECTORY))
        .filter((n) => /^\d+$/.test(n) && Number(n) <= victim.position)
        .at(-1)!;
      const offset =
        12_288 + victim.position - Number(name) + random.integer(0, victim.frame.length - 1);
      crashed.disk.rot(`${DIRECTORY}/${name}`, offset, 1 << random.integer(0, 7));
      await crashed.disk.crash(random.chance(0.7));
      const failure = await crashed.open().then(
        () => tryRead(crashed.log, victim.index),
        (error: unknown) => error,
      );
      // In the last segment start-up finds it, in an older one the first reader does.
      if (!isMqError(failure))
        throw new Error(`seed ${seed}: the damage went unseen`, { cause: failure });
      expect(['LOG_CORRUPTED', 'VERSION_UNSUPPORTED']).toContain(failure.code);
      expect(failure.message).toContain(name);
      refused++;
    }
    expect(refused).toBeGreaterThan(SEEDS / 2);
  }, 120_000);
});

function tryRead(log: CommitLog, index: number): unknown {
  try {
    return log.read(index, index, Infinity);
  } catch (error) {
    return error;
  }
}
