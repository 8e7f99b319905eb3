import { MqError, readInt64, writeInt64 } from '@raftmq/base';
import { type Checkpoint, type KvEngine, type KvPair, type StateStore } from '../ports.js';

const FORMAT_VERSION = 1;
const META_KEY = Buffer.from('meta');
const ROW_PREFIX = Buffer.from('r/');

/**
 * The state machine's rows in a key-value engine. `meta` holds a format version and the applied index and is part of
 * every batch, so rows and index never disagree (R19).
 *
 *   meta:  0  1 format version (1)
 *          1  8 applied index
 *   r/<table>/<name…>: the row, as the state machine wrote it
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
    for await (const { key, value } of this.#kv.scan(ROW_PREFIX)) {
      rows.set(key.toString('utf8', ROW_PREFIX.length), value);
    }
    return { appliedIndex: readInt64(meta, 1), rows };
  }

  async save(
    appliedIndex: number,
    puts: ReadonlyMap<string, Buffer>,
    deletes: Iterable<string>,
  ): Promise<void> {
    const meta = Buffer.alloc(9);
    meta[0] = FORMAT_VERSION;
    writeInt64(meta, appliedIndex, 1);
    const pairs: KvPair[] = [{ key: META_KEY, value: meta }];
    for (const [key, value] of puts) pairs.push({ key: rowKey(key), value });
    await this.#kv.write({ puts: pairs, deletes: Array.from(deletes, rowKey) });
  }

  flush(): Promise<void> {
    return this.#kv.flush();
  }

  close(): Promise<void> {
    return this.#kv.close();
  }
}

function rowKey(key: string): Buffer {
  return Buffer.concat([ROW_PREFIX, Buffer.from(key)]);
}
