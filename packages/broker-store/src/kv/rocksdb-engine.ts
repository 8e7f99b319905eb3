import { type RocksDb } from 'rocksdb-native';
import { MqError, errorText } from '@raftmq/base';
import { type KvBatch, type KvEngine, type KvPair } from '../ports.js';

/** Small on purpose: rows are few and live in memory too. */
const WRITE_BUFFER_SIZE_BYTES = 4 * 1024 * 1024;
const BACKGROUND_JOBS = 1;
const OPEN_FILES_MAX = 64;

/**
 * Opens (or creates) a RocksDB directory.
 * @throws MqError DISK_FAILED when RocksDB cannot open it; its rows can be rebuilt from the log after removing it
 */
export async function openRocksDb(path: string): Promise<KvEngine> {
  const { default: RocksDB } = await import('rocksdb-native');
  const db = new RocksDB(path, {
    writeBufferSize: WRITE_BUFFER_SIZE_BYTES,
    maxWriteBufferNumber: 2,
    maxBackgroundJobs: BACKGROUND_JOBS,
    maxOpenFiles: OPEN_FILES_MAX,
    tableCacheIndexAndFilterBlocks: false,
    blockCache: false,
  });
  try {
    await db.ready();
  } catch (error) {
    throw new MqError('DISK_FAILED', `RocksDB cannot open ${path}: ${errorText(error)}`, {
      cause: error,
    });
  }
  return new RocksDbEngine(db);
}

class RocksDbEngine implements KvEngine {
  readonly #db: RocksDb;

  constructor(db: RocksDb) {
    this.#db = db;
  }

  get(key: Buffer): Promise<Buffer | null> {
    return this.#db.get(key);
  }

  scan(prefix: Buffer): AsyncIterable<KvPair> {
    const end = prefixEnd(prefix);
    return this.#db.iterator(end === null ? { gte: prefix } : { gte: prefix, lt: end }, {
      capacity: 256,
    });
  }

  async range(
    from: Buffer,
    before: Buffer,
    countMax: number,
    bytesMax = Infinity,
  ): Promise<readonly KvPair[]> {
    const pairs: KvPair[] = [];
    // The iterator reads ahead by its capacity, whatever the size of the values.
    const capacity = Math.min(countMax, bytesMax === Infinity ? 256 : 32);
    let bytesLeft = bytesMax;
    const bounds = { gte: from, lt: before };
    for await (const pair of this.#db.iterator(bounds, { capacity, limit: countMax })) {
      bytesLeft -= pair.value.length;
      if (bytesLeft < 0 && pairs.length > 0) break;
      pairs.push(pair);
    }
    return pairs;
  }

  async write(batch: KvBatch): Promise<void> {
    const writes = this.#db.write({ capacity: batch.puts.length + batch.deletes.length });
    try {
      for (const { key, value } of batch.puts) writes.tryPut(key, value);
      for (const key of batch.deletes) writes.tryDelete(key);
      await writes.flush();
    } catch (error) {
      throw new MqError('DISK_FAILED', `RocksDB refused a write: ${errorText(error)}`, {
        cause: error,
      });
    } finally {
      writes.destroy();
    }
  }

  flush(): Promise<void> {
    return this.#db.flush();
  }

  close(): Promise<void> {
    return this.#db.close();
  }
}

/** The smallest key behind all keys with `prefix`; null when there is none (empty, or only 0xff). */
export function prefixEnd(prefix: Buffer): Buffer | null {
  for (let i = prefix.length - 1; i >= 0; i--) {
    if (prefix[i] === 0xff) continue;
    const end = Buffer.from(prefix.subarray(0, i + 1));
    end[i] = end[i]! + 1;
    return end;
  }
  return null;
}
