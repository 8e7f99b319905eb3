import { type KvBatch, type KvEngine, type KvPair } from '../ports.js';

/** Keys and values in memory, for tests and for the simulator. `flush` marks what a crash would keep. */
export class MemoryKvEngine implements KvEngine {
  #rows = new Map<string, Buffer>();
  #flushed = new Map<string, Buffer>();

  async get(key: Buffer): Promise<Buffer | null> {
    const value = this.#rows.get(key.toString('latin1'));
    return value === undefined ? null : Buffer.from(value);
  }

  async *scan(prefix: Buffer): AsyncIterable<KvPair> {
    const start = prefix.toString('latin1');
    const keys = [...this.#rows.keys()].filter((key) => key.startsWith(start)).sort();
    for (const key of keys)
      yield { key: Buffer.from(key, 'latin1'), value: Buffer.from(this.#rows.get(key)!) };
  }

  async range(
    from: Buffer,
    before: Buffer,
    countMax: number,
    bytesMax = Infinity,
  ): Promise<readonly KvPair[]> {
    const first = from.toString('latin1');
    const end = before.toString('latin1');
    const keys = [...this.#rows.keys()].filter((key) => key >= first && key < end).sort();
    const pairs: KvPair[] = [];
    let bytesLeft = bytesMax;
    for (const key of keys.slice(0, countMax)) {
      const value = this.#rows.get(key)!;
      bytesLeft -= value.length;
      if (bytesLeft < 0 && pairs.length > 0) break;
      pairs.push({ key: Buffer.from(key, 'latin1'), value: Buffer.from(value) });
    }
    return pairs;
  }

  async write(batch: KvBatch): Promise<void> {
    for (const { key, value } of batch.puts)
      this.#rows.set(key.toString('latin1'), Buffer.from(value));
    for (const key of batch.deletes) this.#rows.delete(key.toString('latin1'));
  }

  async flush(): Promise<void> {
    this.#flushed = new Map(this.#rows);
  }

  async close(): Promise<void> {
    return undefined;
  }

  /** What a power cut leaves: the rows as of the last flush. */
  loseUnflushed(): void {
    this.#rows = new Map(this.#flushed);
  }
}
