import {
  assert,
  crc32,
  errorText,
  MqError,
  readInt64,
  writeInt64,
  type Disk,
  type DiskFile,
  type Logger,
} from '@raftmq/base';
import { type HardState } from '../core/types.js';
import { type HardStateStore } from '../ports.js';

/**
 * `vote-a` and `vote-b`, one slot each:
 *
 *   offset size field
 *        0    4 magic 0x524d5156 ("RMQV")
 *        4    4 format version (1)
 *        8    8 sequence, from 1
 *       16    8 term
 *       24    4 votedFor, -1 for nobody
 *       28    4 CRC-32 of the 28 bytes above
 *
 * A save writes and syncs one slot, then the other: a torn write spoils at most the slot that was being written, and a
 * slot that rots later has a twin with the same content.
 */
const MAGIC = 0x524d5156;
const FORMAT_VERSION = 1;
const SLOT_SIZE_BYTES = 32;
const SLOT_NAMES = ['vote-a', 'vote-b'] as const;

export interface FileHardStateStoreOptions {
  readonly disk: Disk;
  /** Directory of the two slots: `<data>/raft`. Created when missing. */
  readonly directory: string;
  readonly logger: Logger;
  /** This replica has voted before: missing files are refused, not taken for term 0. Default false. */
  readonly mustExist?: boolean;
}

interface Slot extends HardState {
  readonly sequence: number;
}

/** Term and vote in two files (R01). Saves run one after the other; after a failed one all later ones reject. */
export class FileHardStateStore implements HardStateStore {
  readonly #options: FileHardStateStoreOptions;
  #files: DiskFile[] = [];
  #sequence = 0;
  #saves: Promise<void> = Promise.resolve();
  #failure: MqError | null = null;

  constructor(options: FileHardStateStoreOptions) {
    this.#options = options;
  }

  /**
   * Reads what was saved last and makes both slots equal; term 0 in a fresh directory. Call it once, before `save`.
   * @throws MqError LOG_CORRUPTED when files exist and none is readable; VERSION_UNSUPPORTED
   */
  async load(): Promise<HardState> {
    const { disk, directory } = this.#options;
    assert(this.#files.length === 0, 'the hard state is loaded once');
    await disk.makeDirectory(directory);
    const paths = SLOT_NAMES.map((name) => `${directory}/${name}`);
    const present = await Promise.all(paths.map((path) => disk.exists(path)));
    if (!present.includes(true) && this.#options.mustExist === true) throw missing(directory);
    for (const path of paths) this.#files.push(await disk.open(path, { create: true }));
    try {
      const state = await this.#recover(paths);
      await disk.syncDirectory(directory);
      return state;
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async #recover(paths: readonly string[]): Promise<HardState> {
    const { directory, logger } = this.#options;
    const slots: (Slot | null)[] = [];
    for (const [i, file] of this.#files.entries()) {
      slots.push(decodeSlot(paths[i]!, await file.read(0, SLOT_SIZE_BYTES)));
    }
    const newest = newestOf(slots);
    // The first save syncs a before it touches b. With b empty it never finished, so nothing was ever answered.
    const neverSaved = this.#files[1]!.sizeBytes() === 0 && this.#options.mustExist !== true;
    if (newest === null && !neverSaved) throw bothDamaged(directory);
    const state = newest ?? { term: 0, votedFor: null, sequence: 0 };
    this.#sequence = state.sequence;
    const twins = slots.every((slot) => slot?.sequence === state.sequence);
    if (!twins) {
      if (newest !== null)
        logger.warn(
          { directory, term: state.term },
          'one vote slot was behind or damaged; repaired',
        );
      await this.save(state);
    }
    return { term: state.term, votedFor: state.votedFor };
  }

  /**
   * @throws MqError DISK_FAILED when a write or sync failed; the process must stop
   */
  save(state: HardState): Promise<void> {
    assert(this.#files.length > 0, 'the hard state is loaded before it is saved');
    const saved = this.#saves.then(() => this.#write(state));
    this.#saves = saved.catch(() => undefined);
    return saved;
  }

  /** Waits for saves on their way and closes the files. */
  async close(): Promise<void> {
    await this.#saves;
    const files = this.#files;
    this.#files = [];
    for (const file of files) await file.close();
  }

  async #write(state: HardState): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    const bytes = encodeSlot({ ...state, sequence: ++this.#sequence });
    try {
      for (const file of this.#files) {
        await file.write([bytes], 0);
        await file.sync();
      }
    } catch (error) {
      this.#failure = new MqError(
        'DISK_FAILED',
        `term and vote could not be saved in ${this.#options.directory}: ${errorText(error)}. The process must stop; ` +
          'check the disk, then start it again.',
        { cause: error },
      );
      throw this.#failure;
    }
  }
}

function encodeSlot(slot: Slot): Buffer {
  const bytes = Buffer.alloc(SLOT_SIZE_BYTES);
  bytes.writeUInt32BE(MAGIC, 0);
  bytes.writeUInt32BE(FORMAT_VERSION, 4);
  writeInt64(bytes, slot.sequence, 8);
  writeInt64(bytes, slot.term, 16);
  bytes.writeInt32BE(slot.votedFor ?? -1, 24);
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 28)), 28);
  return bytes;
}

function decodeSlot(path: string, bytes: Buffer): Slot | null {
  if (bytes.length < SLOT_SIZE_BYTES || bytes.readUInt32BE(0) !== MAGIC) return null;
  if (bytes.readUInt32BE(28) !== crc32(bytes.subarray(0, 28))) return null;
  if (bytes.readUInt32BE(4) !== FORMAT_VERSION) {
    throw new MqError(
      'VERSION_UNSUPPORTED',
      `${path} was written by a newer version of RaftMQ; start that version`,
    );
  }
  const votedFor = bytes.readInt32BE(24);
  return {
    sequence: readInt64(bytes, 8),
    term: readInt64(bytes, 16),
    votedFor: votedFor < 0 ? null : votedFor,
  };
}

function newestOf(slots: readonly (Slot | null)[]): Slot | null {
  let newest: Slot | null = null;
  for (const slot of slots) {
    if (slot !== null && (newest === null || slot.sequence > newest.sequence)) newest = slot;
  }
  return newest;
}

function missing(directory: string): MqError {
  return new MqError(
    'LOG_CORRUPTED',
    `${directory} holds neither ${SLOT_NAMES.join(' nor ')}, but this replica has voted before. Starting with term 0 ` +
      'could elect two leaders. Put the directory back as it was at the last stop, or start this replica with an ' +
      'empty data directory: it then joins its group anew.',
  );
}

function bothDamaged(directory: string): MqError {
  return new MqError(
    'LOG_CORRUPTED',
    `both ${SLOT_NAMES.join(' and ')} in ${directory} are damaged, so the term and vote of this replica are not known. ` +
      'Starting with term 0, or with an older copy of these files, could elect two leaders. Start this replica with ' +
      'an empty data directory: it then joins its group anew.',
  );
}
