import {
  errorText,
  MqError,
  type CancelTimer,
  type Clock,
  type DiskUsage,
  type Logger,
} from '@raftmq/base';

export interface DiskWatermarkOptions {
  /** The data directory. */
  readonly path: string;
  /** Bytes used and in all on its file system. */
  readonly usage: (path: string) => Promise<DiskUsage>;
  readonly warnPercent: number;
  readonly refusePercent: number;
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The share in use has to fall this far below a mark before the mark counts as left: no flapping at the edge. */
const HYSTERESIS_PERCENT = 1;

/**
 * Watches how full the disk is. Above the upper mark sends are refused, long before a write would fail: a failed write
 * stops the process. They are taken again by themselves when space returns.
 */
export class DiskWatermark {
  readonly #options: DiskWatermarkOptions;
  #usedPercent = 0;
  #freeBytes = 0;
  #warning = false;
  #refusing = false;
  #cancel: CancelTimer | null = null;
  #closed = false;

  constructor(options: DiskWatermarkOptions) {
    this.#options = options;
  }

  /** Looks once, then every `intervalMs`. */
  async start(): Promise<void> {
    await this.#look();
  }

  get usedPercent(): number {
    return this.#usedPercent;
  }

  get freeBytes(): number {
    return this.#freeBytes;
  }

  get refusing(): boolean {
    return this.#refusing;
  }

  /** The failure of a send that comes now; null when sends are taken. */
  refusal(): MqError | null {
    if (!this.#refusing) return null;
    const { path, refusePercent } = this.#options;
    return new MqError(
      'DISK_FULL',
      `the disk of ${path} is ${this.#usedPercent.toFixed(1)} % full, and sends are refused above ${refusePercent} %: ` +
        'free space, enlarge the disk, shorten the retention or raise diskRefusePercent; sends are taken again by themselves',
    );
  }

  close(): void {
    this.#closed = true;
    this.#cancel?.();
    this.#cancel = null;
  }

  async #look(): Promise<void> {
    const { path, usage, clock, intervalMs, logger } = this.#options;
    try {
      const { usedBytes, totalBytes, freeBytes } = await usage(path);
      this.#freeBytes = freeBytes;
      this.#usedPercent = totalBytes === 0 ? 0 : (usedBytes / totalBytes) * 100;
      this.#judge();
    } catch (error) {
      logger.warn({ path, error: errorText(error) }, 'the usage of the disk could not be read');
    }
    if (!this.#closed) this.#cancel = clock.setTimer(intervalMs, () => void this.#look());
  }

  #judge(): void {
    const { path, warnPercent, refusePercent, logger } = this.#options;
    const percent = Math.round(this.#usedPercent * 10) / 10;
    const refusing = isAbove(this.#usedPercent, refusePercent, this.#refusing);
    const warning = isAbove(this.#usedPercent, warnPercent, this.#warning);
    if (refusing !== this.#refusing) {
      if (refusing)
        logger.error(
          { path, percent, refusePercent },
          'disk above the upper mark: sends are refused until space returns',
        );
      else
        logger.info(
          { path, percent, refusePercent },
          'disk below the upper mark again: sends are taken',
        );
    } else if (warning && !this.#warning && !refusing) {
      logger.warn(
        { path, percent, warnPercent, refusePercent },
        'disk above the lower mark: sends will be refused at the upper one',
      );
    }
    this.#refusing = refusing;
    this.#warning = warning;
  }
}

function isAbove(percent: number, mark: number, was: boolean): boolean {
  return percent >= (was ? mark - HYSTERESIS_PERCENT : mark);
}
