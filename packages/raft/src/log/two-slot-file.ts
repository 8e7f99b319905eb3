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

/**
 * Two files with one slot each:
 *
 *   offset size field
 *        0    4 magic
 *        4    4 format version
 *        8    8 sequence, from 1
 *       16    n payload
 *     16+n    4 CRC-32 of everything above
 *
 * A save writes and syncs one slot, then the other: a torn write spoils at most the slot that was being written, and a
 * slot that rots later has a twin with the same content.
 */
export interface TwoSlotFormat {
  readonly names: readonly [string, string];
  readonly magic: number;
  readonly formatVersion: number;
  readonly payloadSizeBytes: number;
  /** What the slots hold, for error messages: "term and vote". */
  readonly content: string;
  /** What an operator should know when `names` are missing or damaged: why we stop, and what to do. */
  readonly missingAdvice: string;
  readonly damagedAdvice: string;
}

export interface TwoSlotOptions {
  readonly disk: Disk;
  /** Created when missing. */
  readonly directory: string;
  readonly logger: Logger;
  /** Something was saved before: missing files are refused. */
  readonly mustExist: boolean;
}

const PAYLOAD_AT = 16;

interface Slot {
  readonly sequence: number;
  readonly payload: Buffer;
}

/** A small record that survives power cuts, torn writes and one rotten copy. Saves run one after the other. */
export class TwoSlotFile {
  readonly #options: TwoSlotOptions;
  readonly #format: TwoSlotFormat;
  #files: DiskFile[] = [];
  #sequence = 0;
  #saves: Promise<void> = Promise.resolve();
  #failure: MqError | null = null;

  constructor(format: TwoSlotFormat, options: TwoSlotOptions) {
    this.#format = format;
    this.#options = options;
  }

  /**
   * Reads what was saved last and makes both slots equal. Call it once, before `save`.
   * @returns the payload, which the caller owns; null when nothing was ever saved
   * @throws MqError LOG_CORRUPTED when files exist and none is readable; VERSION_UNSUPPORTED
   */
  async load(): Promise<Buffer | null> {
    const { disk, directory } = this.#options;
    assert(this.#files.length === 0, 'slots are loaded once');
    await disk.makeDirectory(directory);
    const paths = this.#format.names.map((name) => `${directory}/${name}`);
    const present = await Promise.all(paths.map((path) => disk.exists(path)));
    if (!present.includes(true) && this.#options.mustExist) throw this.#missing();
    for (const path of paths) this.#files.push(await disk.open(path, { create: true }));
    try {
      const payload = await this.#recover(paths);
      await disk.syncDirectory(directory);
      return payload;
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async #recover(paths: readonly string[]): Promise<Buffer | null> {
    const { directory, logger, mustExist } = this.#options;
    const slots: (Slot | null)[] = [];
    for (const [i, file] of this.#files.entries()) {
      slots.push(this.#decode(paths[i]!, await file.read(0, this.#slotSizeBytes)));
    }
    const newest = newestOf(slots);
    // The first save syncs a before it touches b. With b empty it never finished, so nothing was ever answered.
    const neverSaved = this.#files[1]!.sizeBytes() === 0 && !mustExist;
    if (newest === null) {
      if (!neverSaved) throw this.#damaged();
      return null;
    }
    this.#sequence = newest.sequence;
    if (!slots.every((slot) => slot?.sequence === newest.sequence)) {
      const { content } = this.#format;
      logger.warn({ directory, content }, 'one of two slots was behind or damaged; repaired');
      await this.save(newest.payload);
    }
    return newest.payload;
  }

  /**
   * Resolves when both slots are durable. After a failed save all later ones reject.
   * @param payload must not change until then
   * @throws MqError DISK_FAILED when a write or sync failed; the process must stop
   */
  save(payload: Buffer): Promise<void> {
    assert(this.#files.length > 0, 'slots are loaded before they are saved');
    assert(payload.length === this.#format.payloadSizeBytes, 'a payload has its fixed size');
    const saved = this.#saves.then(() => this.#write(payload));
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

  get #slotSizeBytes(): number {
    return PAYLOAD_AT + this.#format.payloadSizeBytes + 4;
  }

  async #write(payload: Buffer): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    const bytes = this.#encode(++this.#sequence, payload);
    try {
      for (const file of this.#files) {
        await file.write([bytes], 0);
        await file.sync();
      }
    } catch (error) {
      this.#failure = new MqError(
        'DISK_FAILED',
        `${this.#format.content} could not be saved in ${this.#options.directory}: ${errorText(error)}. The process ` +
          'must stop; check the disk, then start it again.',
        { cause: error },
      );
      throw this.#failure;
    }
  }

  #encode(sequence: number, payload: Buffer): Buffer {
    const bytes = Buffer.alloc(this.#slotSizeBytes);
    const sumAt = bytes.length - 4;
    bytes.writeUInt32BE(this.#format.magic, 0);
    bytes.writeUInt32BE(this.#format.formatVersion, 4);
    writeInt64(bytes, sequence, 8);
    payload.copy(bytes, PAYLOAD_AT);
    bytes.writeUInt32BE(crc32(bytes.subarray(0, sumAt)), sumAt);
    return bytes;
  }

  #decode(path: string, bytes: Buffer): Slot | null {
    const sumAt = this.#slotSizeBytes - 4;
    if (bytes.length <= sumAt || bytes.readUInt32BE(0) !== this.#format.magic) return null;
    if (bytes.readUInt32BE(sumAt) !== crc32(bytes.subarray(0, sumAt))) return null;
    if (bytes.readUInt32BE(4) !== this.#format.formatVersion) {
      throw new MqError(
        'VERSION_UNSUPPORTED',
        `${path} was written by a newer version of RaftMQ; start that version`,
      );
    }
    return { sequence: readInt64(bytes, 8), payload: bytes.subarray(PAYLOAD_AT, sumAt) };
  }

  #missing(): MqError {
    const names = this.#format.names.join(' nor ');
    return new MqError(
      'LOG_CORRUPTED',
      `${this.#options.directory} holds neither ${names}. ${this.#format.missingAdvice}`,
    );
  }

  #damaged(): MqError {
    const names = this.#format.names.join(' and ');
    return new MqError(
      'LOG_CORRUPTED',
      `both ${names} in ${this.#options.directory} are damaged. ${this.#format.damagedAdvice}`,
    );
  }
}

function newestOf(slots: readonly (Slot | null)[]): Slot | null {
  let newest: Slot | null = null;
  for (const slot of slots) {
    if (slot !== null && (newest === null || slot.sequence > newest.sequence)) newest = slot;
  }
  return newest;
}
