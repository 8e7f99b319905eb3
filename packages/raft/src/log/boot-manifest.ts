import { assert, errorText, type Disk, type Logger } from '@raftmq/base';
import { type MemoryStore } from '../ports.js';
import { TwoSlotFile, type TwoSlotFormat } from './two-slot-file.js';

/**
 * `boot-a` and `boot-b`, two slots (see {@link TwoSlotFormat}) with this payload:
 *
 *   offset size field
 *        0    1 flags: 1 stopped cleanly, 2 acknowledged before its disk had it, 4 may have forgotten the end of its log
 *        1    1 size of the boot id
 *        2   64 boot id of the machine during that run; size 0 = not known
 *       66    6 reserved, 0
 *
 * Beside them `disk-failed`, a text for people, while the last process ended because its disk failed.
 */
const FORMAT: TwoSlotFormat = {
  names: ['boot-a', 'boot-b'],
  magic: 0x524d5142,
  formatVersion: 1,
  payloadSizeBytes: 72,
  content: 'how the last run ended',
  missingAdvice: '',
  damagedAdvice:
    'Remove both files and start again: this replica then takes it that acknowledged entries may be missing at the end of ' +
    'its log, and gets them from its group.',
};
const CLEAN = 1;
const UNSYNCED = 2;
const FORGETFUL = 4;
const BOOT_ID_SIZE_BYTES_MAX = 64;
const MARKER_NAME = 'disk-failed';

/**
 * What became of the run before this one:
 *
 *   none         a new data directory
 *   clean        stopped after everything was flushed
 *   synced       ended somehow, but acknowledged nothing before its disk had it
 *   same-boot    ended somehow, on a machine that runs on: the kernel kept what was written
 *   power-cut    the machine was restarted, or is not known to be the same: what was not flushed may be gone
 *   disk-failed  a write or sync failed, so the kernel may show what the disk does not have
 *   unknown      a data directory that is older than this record, or lost it
 */
export type LastRun =
  'none' | 'clean' | 'synced' | 'same-boot' | 'power-cut' | 'disk-failed' | 'unknown';

interface Run {
  readonly clean: boolean;
  readonly unsynced: boolean;
  readonly forgetful: boolean;
  readonly bootId: string;
}

export interface BootManifestOptions {
  readonly disk: Disk;
  /** `<data>/raft`. Created when missing. */
  readonly directory: string;
  readonly logger: Logger;
  /** The data directory was used before. */
  readonly isKnown: boolean;
  /** Changes when the machine starts anew; null = not known. */
  readonly bootId: string | null;
  /** From now on entries are acknowledged before they are on disk (ASYNC_FLUSH). */
  readonly unsynced: boolean;
  /** An operator says that nothing is missing, or that it may be: see the setting `trustLogAfterPowerCut`. */
  readonly trustLog: boolean;
  /** Writes a small file at once, for a process that is about to end. Best effort: may throw. */
  readonly mark: (path: string, text: string) => void;
}

/**
 * Knows, after a start, whether the machine may have lost what this replica acknowledged (R23): the boot id of each run,
 * and how it ended. `docs/adr/0010-power-cut.md` tells what follows from it.
 */
export class BootManifest implements MemoryStore {
  readonly #options: BootManifestOptions;
  readonly #slots: TwoSlotFile;
  #lastRun: LastRun = 'none';
  #unsynced = false;
  #forgetful = false;
  #isFlushed = false;
  #hasFailed = false;

  private constructor(options: BootManifestOptions) {
    this.#options = options;
    this.#slots = new TwoSlotFile(FORMAT, { ...options, mustExist: false });
  }

  /**
   * Judges the last run and notes this one; durable when it resolves. To be called before the log is opened.
   * @throws MqError LOG_CORRUPTED, VERSION_UNSUPPORTED, DISK_FAILED
   */
  static async open(options: BootManifestOptions): Promise<BootManifest> {
    const manifest = new BootManifest(options);
    const payload = await manifest.#slots.load();
    try {
      await manifest.#begin(payload === null ? null : decode(payload));
    } catch (error) {
      await manifest.#slots.close();
      throw error;
    }
    return manifest;
  }

  get lastRun(): LastRun {
    return this.#lastRun;
  }

  /** Entries that this replica acknowledged may be missing at the end of its log. */
  get forgetful(): boolean {
    return this.#forgetful;
  }

  remembers(): Promise<void> {
    this.#forgetful = false;
    return this.#save(false);
  }

  /** Everything that was acknowledged is on disk, and nothing will be any more: a clean stop, unless its disk failed. */
  flushed(): void {
    this.#isFlushed = true;
  }

  /** The process ends because its disk failed (R25). Takes effect in this call, as far as the disk allows. */
  diskFailed(error: unknown): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    const { directory, logger, mark } = this.#options;
    try {
      // Not synced: a machine that is restarted as well has another boot id.
      mark(`${directory}/${MARKER_NAME}`, `${errorText(error)}\n`);
    } catch (cause) {
      logger.warn({ error: errorText(cause) }, 'could not note that the disk failed');
    }
  }

  /** Notes the clean stop, if it is one, and closes the files. */
  async close(): Promise<void> {
    if (this.#isFlushed && !this.#hasFailed) await this.#save(true);
    await this.#slots.close();
  }

  async #begin(last: Run | null): Promise<void> {
    const { disk, directory, unsynced, trustLog } = this.#options;
    const marker = `${directory}/${MARKER_NAME}`;
    const hasMarker = await disk.exists(marker);
    this.#lastRun = judge(last, hasMarker, this.#options);
    const forgets =
      this.#lastRun === 'power-cut' ||
      this.#lastRun === 'disk-failed' ||
      (this.#lastRun === 'unknown' && unsynced);
    const suspect = forgets || last?.forgetful === true;
    this.#forgetful = suspect && !trustLog;
    // What the run before wrote may still be in memory: this run's own mode counts only after a clean stop.
    this.#unsynced = unsynced || (last !== null && last.unsynced && !last.clean);
    await this.#save(false);
    if (hasMarker) {
      await disk.unlink(marker);
      await disk.syncDirectory(directory);
    }
    this.#report(suspect);
  }

  #report(suspect: boolean): void {
    const { logger } = this.#options;
    const fields = { lastRun: this.#lastRun };
    if (!suspect) return logger.info(fields, 'the log has what this replica acknowledged');
    if (!this.#forgetful) {
      return logger.error(
        fields,
        'the end of the log may be missing, and is not looked for: trustLogAfterPowerCut is set. Take it back now.',
      );
    }
    logger.warn(
      fields,
      'acknowledged entries may be missing at the end of the log: this replica takes part again when a leader has brought ' +
        'it up to date; should too many replicas have lost power for a leader, when all replicas of the group are up',
    );
  }

  #save(clean: boolean): Promise<void> {
    const bootId = this.#options.bootId ?? '';
    const [unsynced, forgetful] = [this.#unsynced, this.#forgetful];
    return this.#slots.save(encode({ clean, unsynced, forgetful, bootId }));
  }
}

function judge(
  last: Run | null,
  diskFailed: boolean,
  { isKnown, bootId }: BootManifestOptions,
): LastRun {
  if (last === null) return isKnown ? 'unknown' : 'none';
  if (!last.unsynced) return last.clean ? 'clean' : 'synced';
  if (diskFailed) return 'disk-failed';
  if (last.clean) return 'clean';
  return last.bootId !== '' && last.bootId === bootId ? 'same-boot' : 'power-cut';
}

function encode({ clean, unsynced, forgetful, bootId }: Run): Buffer {
  const payload = Buffer.alloc(FORMAT.payloadSizeBytes);
  payload[0] = (clean ? CLEAN : 0) | (unsynced ? UNSYNCED : 0) | (forgetful ? FORGETFUL : 0);
  assert(Buffer.byteLength(bootId) <= BOOT_ID_SIZE_BYTES_MAX, 'boot ids are short');
  payload[1] = payload.write(bootId, 2);
  return payload;
}

function decode(payload: Buffer): Run {
  const flags = payload[0]!;
  return {
    clean: (flags & CLEAN) !== 0,
    unsynced: (flags & UNSYNCED) !== 0,
    forgetful: (flags & FORGETFUL) !== 0,
    bootId: payload.toString('utf8', 2, 2 + payload[1]!),
  };
}
