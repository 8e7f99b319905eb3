import { type Logger } from '@raftmq/base';

/** Between two deletions by age: a wrong clock must not empty a disk in one go. */
export const AGE_DELETION_INTERVAL_MS = 60_000;
/** The wall clock moved this much against the monotonic one: deletion by age stops. */
export const CLOCK_JUMP_MS = 10 * 60_000;
/** After a start with a wall clock far from the log's own last time, deletion by age waits this long. */
export const START_GUARD_MS = 3_600_000;

/** When segments may go, and what the clocks say. Wall times in ms since 1970, monotonic ones since some fixed point. */
export interface RetentionRequest {
  readonly maxAgeMs: number;
  /** 0 = no limit. */
  readonly maxTotalBytes: number;
  readonly nowWallMs: number;
  readonly nowMonotonicMs: number;
  /** Entries from this index on are still needed: not yet applied, or a follower lacks them. */
  readonly keepFromIndex: number;
}

/** The segment that would go next. */
export interface OldestSegment {
  readonly lastIndex: number;
  readonly lastStoreTimestampMs: number;
}

export type RetentionReason = 'age' | 'size';

/**
 * Decides whether the oldest segment may be deleted. It trusts no single clock: a segment is old only when the wall
 * clock says so AND the time that the process itself has seen pass, counted from the last store timestamp found at
 * start, says so as well. A jump of the wall clock by more than ten minutes stops deletion by age for as long as it
 * lasts, and is logged; the size limit does not depend on clocks.
 */
export class RetentionGuard {
  readonly #logger: Logger;
  readonly #anchorLogMs: number;
  readonly #anchorWallMs: number;
  readonly #anchorMonotonicMs: number;
  readonly #ageFromMonotonicMs: number;
  #lastAgeDeletionMs = -Infinity;
  #jumped = false;

  /**
   * @param lastStoreTimestampMs of the last entry at start, 0 for an empty log
   */
  constructor(logger: Logger, lastStoreTimestampMs: number, wallMs: number, monotonicMs: number) {
    this.#logger = logger;
    this.#anchorLogMs = lastStoreTimestampMs === 0 ? wallMs : lastStoreTimestampMs;
    this.#anchorWallMs = wallMs;
    this.#anchorMonotonicMs = monotonicMs;
    const differs = Math.abs(wallMs - this.#anchorLogMs) > CLOCK_JUMP_MS;
    this.#ageFromMonotonicMs = differs ? monotonicMs + START_GUARD_MS : monotonicMs;
    if (differs) {
      logger.warn(
        { wallMs, lastStoreTimestampMs },
        'wall clock differs from the last entry of the log; deletion by age waits an hour',
      );
    }
  }

  /** Why the oldest segment may go now, null when it has to stay. The caller deletes it when it gets a reason. */
  reasonToDelete(
    oldest: OldestSegment,
    totalBytes: number,
    request: RetentionRequest,
  ): RetentionReason | null {
    const jumped = this.#noteJump(request);
    if (oldest.lastIndex >= request.keepFromIndex) return null;
    if (request.maxTotalBytes > 0 && totalBytes > request.maxTotalBytes) return 'size';
    if (jumped || request.nowMonotonicMs < this.#ageFromMonotonicMs) return null;
    if (request.nowMonotonicMs - this.#lastAgeDeletionMs < AGE_DELETION_INTERVAL_MS) return null;
    const seenMs = this.#anchorLogMs + (request.nowMonotonicMs - this.#anchorMonotonicMs);
    const nowMs = Math.min(request.nowWallMs, seenMs);
    if (nowMs - oldest.lastStoreTimestampMs <= request.maxAgeMs) return null;
    this.#lastAgeDeletionMs = request.nowMonotonicMs;
    return 'age';
  }

  #noteJump(request: RetentionRequest): boolean {
    const expectedWallMs = this.#anchorWallMs + (request.nowMonotonicMs - this.#anchorMonotonicMs);
    const jumpMs = request.nowWallMs - expectedWallMs;
    const jumped = Math.abs(jumpMs) > CLOCK_JUMP_MS;
    if (jumped && !this.#jumped) {
      this.#logger.error(
        { jumpMs },
        'wall clock jumped; deletion of old commit log files by age is stopped',
      );
    } else if (!jumped && this.#jumped) {
      this.#logger.info({}, 'wall clock is back; deletion of old commit log files by age goes on');
    }
    this.#jumped = jumped;
    return jumped;
  }
}
