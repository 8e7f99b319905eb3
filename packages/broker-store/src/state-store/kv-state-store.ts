import { MqError, readInt64, writeInt64 } from '@raftmq/base';
import {
  type Checkpoint,
  type ColdRow,
  type KvBatch,
  type KvEngine,
  type KvPair,
  type RowChanges,
  type StateStore,
} from '../ports.js';

const FORMAT_VERSION = 1;
const META_KEY = Buffer.from('meta');
const ROW_PREFIX = 'r/';
const COLD_PREFIX = 'c/';
const COLD_BATCH_ROWS = 512;

/**
 * The state machine's rows in a key-value engine. `meta` holds a format version and the applied index and is part of
 * every batch of rows, so rows and index never disagree (R19). Cold rows may be ahead of the index, never behind it.
 *
 *   meta:  0  1 format version (1)
 *          1  8 applied index
 *   r/<table>/<name…>: a row, as the state machine wrote it
 *   c/<table>/<name…>: a cold row
 */
export class KvStateStore implements StateStore {
  readonly #kv: KvEngine;

  constructor(kv: KvEngine) {
    this.#kv = kv;
  }

  async load(): Promise<Checkpoint> {
    const meta = await this.#kv.get(META_KEY);
    const rows = new Map<string, Buffer>();
    if (meta === null) return { appliedIndex: 0, rows };
    if (meta[0] !== FORMAT_VERSION) {
      throw new MqError(
        'VERSION_UNSUPPORTED',
        `state format ${meta[0]}: written by another version of RaftMQ; remove the state directory to rebuild it from the log`,
      );
    }
    for await (const { key, value } of this.#kv.scan(Buffer.from(ROW_PREFIX))) {
      rows.set(key.toString('utf8', ROW_PREFIX.length), value);
    }
    return { appliedIndex: readInt64(meta, 1), rows };
  }

  async save(appliedIndex: number, rows: RowChanges, cold: RowChanges): Promise<void> {
    const meta = Buffer.alloc(9);
    meta[0] = FORMAT_VERSION;
    writeInt64(meta, appliedIndex, 1);
    for (const batch of coldBatches(cold)) await this.#kv.write(batch);
    const puts: KvPair[] = [{ key: META_KEY, value: meta }];
    const deletes: Buffer[] = [];
    for (const [key, value] of rows.puts) puts.push({ key: Buffer.from(ROW_PREFIX + key), value });
    for (const key of rows.deletes) deletes.push(Buffer.from(ROW_PREFIX + key));
    await this.#kv.write({ puts, deletes });
  }

  coldGet(key: string): Promise<Buffer | null> {
    return this.#kv.get(Buffer.from(COLD_PREFIX + key));
  }

  async coldRange(
    from: string,
    before: string,
    countMax: number,
    bytesMax?: number,
  ): Promise<readonly ColdRow[]> {
    const first = Buffer.from(COLD_PREFIX + from);
    const end = Buffer.from(COLD_PREFIX + before);
    const pairs = await this.#kv.range(first, end, countMax, bytesMax);
    return pairs.map(({ key, value }) => ({
      key: key.toString('latin1', COLD_PREFIX.length),
      value,
    }));
  }

  flush(): Promise<void> {
    return this.#kv.flush();
  }

  close(): Promise<void> {
    return this.#kv.close();
  }
}

/**
 * Cold rows go first, in batches of their own: tens of thousands in one would cost hundreds of megabytes inside the
 * engine, and a stall. A crash in between leaves rows that are ahead of the applied index; applying the log from there
 * puts and deletes the very same ones again.
 */
function* coldBatches(cold: RowChanges): Iterable<KvBatch> {
  let batch: { puts: KvPair[]; deletes: Buffer[] } = { puts: [], deletes: [] };
  let left = COLD_BATCH_ROWS;
  for (const [key, value] of cold.puts) {
    batch.puts.push({ key: Buffer.from(COLD_PREFIX + key), value });
    if (--left > 0) continue;
    yield batch;
    batch = { puts: [], deletes: [] };
    left = COLD_BATCH_ROWS;
  }
  for (const key of cold.deletes) {
    batch.deletes.push(Buffer.from(COLD_PREFIX + key));
    if (--left > 0) continue;
    yield batch;
    batch = { puts: [], deletes: [] };
    left = COLD_BATCH_ROWS;
  }
  if (left < COLD_BATCH_ROWS) yield batch;
}
