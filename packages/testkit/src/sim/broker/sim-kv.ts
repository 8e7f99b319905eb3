import { type Prng } from '@raftmq/base';
import { MemoryKvEngine, type KvBatch, type KvEngine } from '@raftmq/broker-store';
import { type SimDisk } from '../disk.js';
import { type Life } from '../event-heap.js';

/**
 * The key-value engine of one machine. A batch is there as a whole or not at all. What was written survives a kill; of
 * what was not flushed a power cut leaves some first batches, as a write-ahead log does.
 */
export class SimKv {
  readonly #disk: SimDisk;
  readonly #random: Prng;
  #engine = new MemoryKvEngine();
  #unflushed: KvBatch[] = [];

  constructor(disk: SimDisk, random: Prng) {
    this.#disk = disk;
    this.#random = random;
  }

  /** To be called after the process died. */
  powerCut(): void {
    const kept = this.#unflushed.slice(0, this.#random.integer(0, this.#unflushed.length));
    this.#engine.loseUnflushed();
    this.#unflushed = [];
    for (const batch of kept) this.#write(batch);
  }

  /** Everything is gone: someone removed the directory. */
  wipe(): void {
    this.#engine = new MemoryKvEngine();
    this.#unflushed = [];
  }

  /** The engine as the process `life` sees it. */
  attach(life: Life): KvEngine {
    const operate = (kind: 'write' | 'sync', effect: () => void): Promise<void> =>
      this.#disk.operate(life, kind, `kv ${kind}`, effect);
    // As slow as a write.
    const read = (): Promise<void> => this.#disk.operate(life, 'write', 'kv read', () => undefined);
    const engine = this.#engine;
    return {
      get: async (key) => {
        await read();
        return engine.get(key);
      },
      scan: (prefix) => engine.scan(prefix),
      range: async (from, before, countMax, bytesMax) => {
        await read();
        return engine.range(from, before, countMax, bytesMax);
      },
      write: (batch) => operate('write', () => this.#write(batch)),
      flush: () => {
        const count = this.#unflushed.length;
        return operate('sync', () => this.#flush(count));
      },
      close: () => Promise.resolve(),
    };
  }

  /** The engine's own methods take effect before they return. */
  #write(batch: KvBatch): void {
    void this.#engine.write(batch);
    this.#unflushed.push(batch);
  }

  /** Only what was written before the call was made is certain to be on disk. */
  #flush(count: number): void {
    const late = this.#unflushed.slice(count);
    this.#engine.loseUnflushed();
    for (const batch of this.#unflushed.slice(0, count)) void this.#engine.write(batch);
    void this.#engine.flush();
    this.#unflushed = [];
    for (const batch of late) this.#write(batch);
  }
}
