import { type CancelTimer, type Clock } from '@raftmq/base';
import { type CommitLog } from '@raftmq/broker-store';
import { type RaftStatus } from '@raftmq/raft';

export interface RetentionLoopOptions {
  readonly log: Pick<CommitLog, 'retain'>;
  readonly status: () => RaftStatus;
  /** Entries through here are in the saved rows. */
  readonly savedIndex: () => number;
  readonly retentionMs: number;
  readonly retentionBytes: number;
  readonly clock: Clock;
  /** A deletion failed half-way: the process has to stop. */
  readonly onFatal: (error: unknown) => void;
}

const INTERVAL_MS = 10_000;

/**
 * Deletes old commit log files, one at a time. Entries that the next start would have to apply stay, and on the leader
 * those that a follower has not got yet: there is no other way to bring it up to date.
 */
export class RetentionLoop {
  readonly #options: RetentionLoopOptions;
  #cancel: CancelTimer | null = null;
  #running: Promise<void> = Promise.resolve();
  #closed = false;
  deletedFiles = 0;

  constructor(options: RetentionLoopOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#closed) return;
    this.#cancel = this.#options.clock.setTimer(INTERVAL_MS, () => {
      this.#running = this.#pass();
    });
  }

  /** Resolves when no deletion is under way any more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel?.();
    await this.#running;
  }

  async #pass(): Promise<void> {
    const { log, clock, retentionMs, retentionBytes, onFatal } = this.#options;
    try {
      const reason = await log.retain({
        maxAgeMs: retentionMs,
        maxTotalBytes: retentionBytes,
        nowWallMs: clock.wallMs(),
        nowMonotonicMs: clock.monotonicMs(),
        keepFromIndex: this.#keepFromIndex(),
      });
      if (reason !== null) this.deletedFiles++;
    } catch (error) {
      onFatal(error);
      return;
    }
    this.start();
  }

  #keepFromIndex(): number {
    const { status, savedIndex } = this.#options;
    let keepFrom = savedIndex() + 1;
    for (const peer of status().peers) keepFrom = Math.min(keepFrom, peer.matchIndex + 1);
    return keepFrom;
  }
}
