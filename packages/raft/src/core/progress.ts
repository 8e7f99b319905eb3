import { assert } from '@raftmq/base';
import { type NodeId } from './types.js';

/**
 * How a leader feeds one follower:
 *
 *   probe          looks for the last common entry; one request at a time, moved by refusals
 *   replicate      sends ahead without waiting, as far as the window allows
 *   needs-install  needs entries that this log no longer holds; gets heartbeats only
 */
export type ProgressState = 'probe' | 'replicate' | 'needs-install';

/** The limits of one follower's window. */
export interface WindowLimits {
  readonly maxInflightAppends: number;
  readonly maxInflightBytes: number;
}

/**
 * One follower as its leader sees it: pure bookkeeping.
 *
 *   1 .. matchIndex          durable there (R02)
 *   matchIndex+1 .. next-1   sent, or proven to be there but not known to be durable
 *   nextIndex ..             to be sent
 *
 * The window (R17) is a ring of the requests with entries under way: last index and size of each.
 */
export class Progress {
  readonly id: NodeId;
  /** 0 = takes part. Else the number of the follower's recovery (R22, R23). */
  recovery = 0;
  /** What it acknowledges is counted: not so while it recovers from a lost disk (R22). */
  counts = true;
  /** The entry that it has to hold before it is admitted; 0 = not chosen yet. */
  admissionIndex = 0;
  readonly #limits: WindowLimits;
  readonly #throughIndexes: Float64Array;
  readonly #sizes: Float64Array;
  #head = 0;
  #count = 0;
  #bytes = 0;
  #state: ProgressState = 'probe';
  #matchIndex = 0;
  #nextIndex: number;
  #probeSent = false;
  #contactMs: number;
  #readRound = 0;

  /** @param nowMs counts as the first contact, so that a new leader has a whole lease to hear from its followers */
  constructor(id: NodeId, nextIndex: number, nowMs: number, limits: WindowLimits) {
    assert(nextIndex >= 1, 'the next index is at least 1');
    this.id = id;
    this.#nextIndex = nextIndex;
    this.#contactMs = nowMs;
    this.#limits = limits;
    this.#throughIndexes = new Float64Array(limits.maxInflightAppends);
    this.#sizes = new Float64Array(limits.maxInflightAppends);
  }

  get state(): ProgressState {
    return this.#state;
  }

  get matchIndex(): number {
    return this.#matchIndex;
  }

  get nextIndex(): number {
    return this.#nextIndex;
  }

  get inflightAppends(): number {
    return this.#count;
  }

  get inflightBytes(): number {
    return this.#bytes;
  }

  /** When the newest answered request was sent, on the leader's monotonic clock. */
  get contactMs(): number {
    return this.#contactMs;
  }

  /** Newest read round that was answered. */
  get readRound(): number {
    return this.#readRound;
  }

  /** A request with entries may be sent now. */
  get hasRoom(): boolean {
    if (this.#state === 'needs-install') return false;
    if (this.#state === 'probe') return !this.#probeSent;
    return (
      this.#count < this.#limits.maxInflightAppends && this.#bytes < this.#limits.maxInflightBytes
    );
  }

  /** Any answer of the current term: the follower knows this leader. */
  answered(sentAtMs: number, readRound: number): void {
    if (sentAtMs > this.#contactMs) this.#contactMs = sentAtMs;
    if (readRound > this.#readRound) this.#readRound = readRound;
  }

  /** What an answer says about its sender. A new recovery starts from the beginning. */
  standsAt(recovery: number, counts: boolean): void {
    if (recovery === this.recovery) return;
    this.counts = counts;
    this.recovery = recovery;
    this.admissionIndex = 0;
  }

  /** A request with entries through `throughIndex` left (or, while probing, without any: `sizeBytes` 0). */
  sent(throughIndex: number, sizeBytes: number): void {
    assert(this.hasRoom, 'a request is sent only when the window has room');
    if (this.#state === 'probe') {
      this.#probeSent = true;
      return;
    }
    assert(throughIndex >= this.#nextIndex, 'a request in the window carries entries');
    const at = (this.#head + this.#count) % this.#throughIndexes.length;
    this.#throughIndexes[at] = throughIndex;
    this.#sizes[at] = sizeBytes;
    this.#count++;
    this.#bytes += sizeBytes;
    this.#nextIndex = throughIndex + 1;
  }

  /**
   * A request was accepted; everything through `matchIndex` is durable there.
   * @param firstIndex where the leader's log starts, which tells whether a follower can be fed from the log again
   * @returns whether the match moved
   */
  accepted(matchIndex: number, firstIndex: number): boolean {
    const moved = matchIndex > this.#matchIndex;
    if (moved) this.#matchIndex = matchIndex;
    if (this.#nextIndex <= this.#matchIndex) this.#nextIndex = this.#matchIndex + 1;
    while (this.#count > 0 && this.#throughIndexes[this.#head]! <= this.#matchIndex) {
      this.#bytes -= this.#sizes[this.#head]!;
      this.#head = (this.#head + 1) % this.#throughIndexes.length;
      this.#count--;
    }
    if (this.#state === 'probe') this.#enter('replicate');
    if (this.#state === 'needs-install' && this.#matchIndex + 1 >= firstIndex) {
      this.#nextIndex = this.#matchIndex + 1;
      this.#enter('replicate');
    }
    return moved;
  }

  /** Whether a refusal of a request behind `prevIndex` says nothing new: it was late, or another one was faster. */
  isStaleRefusal(prevIndex: number): boolean {
    if (prevIndex <= this.#matchIndex) return true;
    if (this.#state === 'probe') return prevIndex !== this.#nextIndex - 1;
    return this.#state === 'needs-install' || prevIndex >= this.#nextIndex;
  }

  /** A fresh refusal behind `prevIndex`: look for the common entry from `nextIndex` downwards. */
  refused(prevIndex: number, nextIndex: number): void {
    assert(!this.isStaleRefusal(prevIndex), 'a late refusal moves nothing');
    this.#nextIndex = Math.max(this.#matchIndex + 1, Math.min(nextIndex, prevIndex));
    this.#enter('probe');
  }

  /** Requests under way may be lost: start again behind what is known to be there. */
  connectionLost(): void {
    if (this.#state === 'needs-install') return;
    if (this.#state === 'replicate') this.#nextIndex = this.#matchIndex + 1;
    this.#enter('probe');
  }

  /**
   * The follower may be a new process that lost what it acknowledged: forget its match too. Commits already made stay.
   * @param lastIndex end of the leader's log, where probing starts
   */
  reconnected(lastIndex: number): void {
    this.#matchIndex = 0;
    this.#nextIndex = lastIndex + 1;
    this.#enter('probe');
  }

  /** The log no longer holds what this follower needs next. */
  needsInstall(): void {
    this.#enter('needs-install');
  }

  #enter(state: ProgressState): void {
    this.#state = state;
    this.#probeSent = false;
    this.#head = 0;
    this.#count = 0;
    this.#bytes = 0;
  }
}
