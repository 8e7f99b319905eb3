import { assert, RingQueue } from '@raftmq/base';
import {
  ENTRY_HEADER_SIZE_BYTES,
  ENTRY_SIZE_BYTES_MAX,
  entryType,
  sealEntry,
  type Entry,
} from '../core/entry.js';
import { type Proposal, type RejectReason, type SealContext } from '../ports.js';

/** Largest `sizeBytes` of one proposal. */
export const PROPOSAL_SIZE_BYTES_MAX = ENTRY_SIZE_BYTES_MAX - ENTRY_HEADER_SIZE_BYTES;

/** Limits of the queue and of one batch; a part of the driver's settings. */
export interface ProposalQueueLimits {
  readonly batchBytesMax: number;
  readonly batchRecordsMax: number;
  readonly proposalQueueBytesMax: number;
  readonly proposalQueueMax: number;
  readonly proposalTimeoutMs: number;
}

/** A sealed entry, and who waits for it. */
export interface SealedBatch {
  readonly entry: Entry;
  readonly proposals: readonly Proposal[];
}

interface Mark {
  readonly atMs: number;
  /** How many proposals had ever been queued at that time. */
  readonly queuedEver: number;
}

/**
 * Proposals on their way into the log. One `seal` turns what has gathered into one entry:
 *
 *   p p p p p p p          proposals, oldest first
 *   [header|p p p p] p p p the next entry: as many as fit the batch limits, at least one
 *
 * Nothing here is kept per proposal but its place in the ring. Ages are kept by marks, at most a few per timeout.
 */
export class ProposalQueue {
  readonly #limits: ProposalQueueLimits;
  readonly #proposals = new RingQueue<Proposal>();
  readonly #marks = new RingQueue<Mark>();
  #bytes = 0;
  #queuedEver = 0;
  #takenEver = 0;
  #lastMarkAtMs = -Infinity;

  constructor(limits: ProposalQueueLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#proposals.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Adds a proposal behind the others.
   * @returns false when a limit is reached; the proposal is then not kept
   */
  push(proposal: Proposal): boolean {
    if (this.#proposals.size >= this.#limits.proposalQueueMax) return false;
    // One proposal is always let in, whatever its size: a queue smaller than it would refuse it for ever.
    if (
      this.#proposals.size > 0 &&
      this.#bytes + proposal.sizeBytes > this.#limits.proposalQueueBytesMax
    )
      return false;
    this.#proposals.push(proposal);
    this.#bytes += proposal.sizeBytes;
    this.#queuedEver++;
    return true;
  }

  /**
   * Writes the oldest proposals into one entry. The queue must not be empty.
   * @throws AssertionFailure when a proposal wrote another size than it announced
   */
  seal(context: SealContext): SealedBatch {
    const first = this.#proposals.peek();
    assert(first !== undefined, 'there is something to seal');
    let sizeBytes = ENTRY_HEADER_SIZE_BYTES;
    let recordCount = 0;
    let taken = 0;
    for (
      let next: Proposal | undefined = first;
      next !== undefined;
      next = this.#proposals.at(taken)
    ) {
      if (taken > 0 && sizeBytes + next.sizeBytes > this.#limits.batchBytesMax) break;
      if (taken > 0 && recordCount + next.recordCount > this.#limits.batchRecordsMax) break;
      sizeBytes += next.sizeBytes;
      recordCount += next.recordCount;
      taken++;
    }
    const frame = Buffer.allocUnsafeSlow(sizeBytes);
    const proposals = new Array<Proposal>(taken);
    let at = ENTRY_HEADER_SIZE_BYTES;
    for (let i = 0; i < taken; i++) {
      const proposal = this.#take()!;
      const end = proposal.write(frame, at, context);
      assert(end === at + proposal.sizeBytes, 'a proposal writes exactly the bytes it announced');
      proposals[i] = proposal;
      at = end;
    }
    const { index, term, position, storeTimestampMs } = context;
    const entry = sealEntry(frame, {
      index,
      term,
      position,
      type: entryType.records,
      storeTimestampMs,
      recordCount,
    });
    return { entry, proposals };
  }

  /** Rejects everything that waits; returns how many that were. */
  rejectAll(reason: RejectReason): number {
    return this.#reject(this.#proposals.size, reason);
  }

  /** To be called now and then: rejects what has waited for longer than the timeout, plus the distance of two marks. */
  expire(nowMs: number): number {
    if (nowMs - this.#lastMarkAtMs >= this.#limits.proposalTimeoutMs / 8) {
      this.#lastMarkAtMs = nowMs;
      if (this.#queuedEver > this.#takenEver)
        this.#marks.push({ atMs: nowMs, queuedEver: this.#queuedEver });
    }
    let old = 0;
    for (let mark = this.#marks.peek(); mark !== undefined; mark = this.#marks.peek()) {
      const done = mark.queuedEver <= this.#takenEver;
      if (!done && nowMs - mark.atMs < this.#limits.proposalTimeoutMs) break;
      this.#marks.shift();
      if (!done) old = mark.queuedEver - this.#takenEver;
    }
    return this.#reject(old, 'overloaded');
  }

  #reject(count: number, reason: RejectReason): number {
    for (let i = 0; i < count; i++) this.#take()!.rejected(reason);
    return count;
  }

  #take(): Proposal | undefined {
    const proposal = this.#proposals.shift();
    if (proposal === undefined) return undefined;
    this.#bytes -= proposal.sizeBytes;
    this.#takenEver++;
    return proposal;
  }
}
