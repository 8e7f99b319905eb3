import { readInt64, writeInt64, type Disk, type Logger } from '@raftmq/base';
import { type HardState } from '../core/types.js';
import { type HardStateStore } from '../ports.js';
import { TwoSlotFile, type TwoSlotFormat } from './two-slot-file.js';

/**
 * `vote-a` and `vote-b`, two slots (see {@link TwoSlotFormat}) with this payload:
 *
 *   offset size field
 *        0    8 term
 *        8    4 votedFor, -1 for nobody
 */
const FORMAT: TwoSlotFormat = {
  names: ['vote-a', 'vote-b'],
  magic: 0x524d5156,
  formatVersion: 1,
  payloadSizeBytes: 12,
  content: 'term and vote',
  missingAdvice:
    'But this replica has voted before: starting with term 0 could elect two leaders. Restore the directory, or start ' +
    'this replica with an empty data directory.',
  damagedAdvice:
    'So the term and vote of this replica are not known, and starting with term 0 could elect two leaders. Restore the ' +
    'directory, or start this replica with an empty data directory.',
};

export interface FileHardStateStoreOptions {
  readonly disk: Disk;
  /** Directory of the two slots: `<data>/raft`. Created when missing. */
  readonly directory: string;
  readonly logger: Logger;
  /** This replica has voted before: missing files are refused, not taken for term 0. Default false. */
  readonly mustExist?: boolean;
}

/** Term and vote in two files (R01). Saves run one after the other; after a failed one all later ones reject. */
export class FileHardStateStore implements HardStateStore {
  readonly #slots: TwoSlotFile;

  constructor(options: FileHardStateStoreOptions) {
    this.#slots = new TwoSlotFile(FORMAT, { mustExist: false, ...options });
  }

  /**
   * Reads what was saved last and makes both slots equal; term 0 in a fresh directory. Call it once, before `save`.
   * @throws MqError LOG_CORRUPTED when files exist and none is readable; VERSION_UNSUPPORTED
   */
  async load(): Promise<HardState> {
    const payload = await this.#slots.load();
    if (payload !== null) return decode(payload);
    const fresh: HardState = { term: 0, votedFor: null };
    await this.save(fresh);
    return fresh;
  }

  /**
   * @throws MqError DISK_FAILED when a write or sync failed; the process must stop
   */
  save(state: HardState): Promise<void> {
    return this.#slots.save(encode(state));
  }

  /** Waits for saves on their way and closes the files. */
  close(): Promise<void> {
    return this.#slots.close();
  }
}

function encode(state: HardState): Buffer {
  const payload = Buffer.alloc(FORMAT.payloadSizeBytes);
  writeInt64(payload, state.term, 0);
  payload.writeInt32BE(state.votedFor ?? -1, 8);
  return payload;
}

function decode(payload: Buffer): HardState {
  const votedFor = payload.readInt32BE(8);
  return { term: readInt64(payload, 0), votedFor: votedFor < 0 ? null : votedFor };
}
