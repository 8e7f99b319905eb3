import { assert, RingQueue } from '@raftmq/base';
import { type Entry } from '../core/entry.js';
import { type Proposal, type RejectReason } from '../ports.js';

interface Waiting {
  readonly index: number;
  readonly term: number;
  readonly sealedAtMs: number;
  readonly proposals: readonly Proposal[];
}

/** An entry whose proposers were told "unknown", with those who want to hear of it nevertheless. */
interface Expired {
  readonly index: number;
  readonly term: number;
  readonly proposals: readonly { readonly proposal: Proposal; readonly from: number }[];
}

/** Expired entries that are remembered; the oldest are forgotten first. */
const EXPIRED_MAX = 1_024;

/** What became of the waiting entries when one entry was applied. */
export interface Settled {
  committedEntries: number;
  lostProposals: number;
  /** When the committed one was sealed. */
  sealedAtMs: number;
}

/**
 * Sealed entries whose outcome is open, oldest first. Terms never fall along the ring, and within a term the index
 * grows. They outlive leadership: a later leader may still commit them, and whoever waits deserves the true answer.
 */
export class WaitingEntries {
  readonly #ring = new RingQueue<Waiting>();
  /** Older than all in the ring, oldest first. */
  readonly #expired = new RingQueue<Expired>();
  readonly #settled: Settled = { committedEntries: 0, lostProposals: 0, sealedAtMs: 0 };

  /** Entries whose proposers wait. */
  get size(): number {
    return this.#ring.size;
  }

  /** Nobody waits, and nobody wants to hear of what comes late. */
  get isEmpty(): boolean {
    return this.#ring.size === 0 && this.#expired.size === 0;
  }

  add(entry: Entry, proposals: readonly Proposal[], sealedAtMs: number): void {
    this.#ring.push({ index: entry.index, term: entry.term, sealedAtMs, proposals });
  }

  /** Whether someone waits for the results of exactly this entry, which is about to be applied. */
  expects(entry: Entry): boolean {
    return isAwaited(this.#expired, entry) || isAwaited(this.#ring, entry);
  }

  /**
   * Answers those who wait for `entry`, now committed and applied, and those whose entry it proves lost: behind a
   * committed entry of a later term, no log ever holds entries of an earlier one.
   * @param results one value per record of the entry; only looked at when someone waits for it
   * @returns a count of what happened, valid until the next call
   */
  applied(entry: Entry, results: readonly unknown[] | null): Settled {
    this.#appliedLate(entry, results);
    const settled = this.#settled;
    settled.committedEntries = 0;
    settled.lostProposals = 0;
    for (
      let head = this.#ring.peek();
      head !== undefined && head.term <= entry.term;
      head = this.#ring.peek()
    ) {
      if (head.term === entry.term) {
        assert(head.index >= entry.index, 'no waiting entry is passed over');
        if (head.index > entry.index) break;
        this.#ring.shift();
        assert(results !== null, 'results were collected for an entry someone waits for');
        settle(head, results);
        settled.committedEntries++;
        settled.sealedAtMs = head.sealedAtMs;
        break;
      }
      this.#ring.shift();
      settled.lostProposals += reject(head, 'lost');
    }
    return settled;
  }

  /** Answers "unknown" to those who wait since before `sealedBeforeMs`; returns how many proposals that were. */
  expire(sealedBeforeMs: number): number {
    let count = 0;
    for (
      let head = this.#ring.peek();
      head !== undefined && head.sealedAtMs < sealedBeforeMs;
      head = this.#ring.peek()
    ) {
      this.#ring.shift();
      count += reject(head, 'unknown');
      this.#remember(head);
    }
    return count;
  }

  #remember({ index, term, proposals }: Waiting): void {
    const curious: { proposal: Proposal; from: number }[] = [];
    let from = 0;
    for (const proposal of proposals) {
      if (proposal.committedLate !== undefined) curious.push({ proposal, from });
      from += proposal.recordCount;
    }
    if (curious.length === 0) return;
    if (this.#expired.size >= EXPIRED_MAX) this.#expired.shift();
    this.#expired.push({ index, term, proposals: curious });
  }

  #appliedLate(entry: Entry, results: readonly unknown[] | null): void {
    for (
      let head = this.#expired.peek();
      head !== undefined && head.term <= entry.term;
      head = this.#expired.peek()
    ) {
      const same = head.term === entry.term;
      if (same && head.index > entry.index) return;
      this.#expired.shift();
      // Of an earlier term: it is lost, and there is nothing to undo.
      if (!same) continue;
      assert(head.index === entry.index, 'no expired entry is passed over');
      assert(results !== null, 'results were collected for an entry someone waits for');
      for (const { proposal, from } of head.proposals) proposal.committedLate!(results, from);
      return;
    }
  }
}

function isAwaited(
  ring: RingQueue<{ readonly index: number; readonly term: number }>,
  entry: Entry,
): boolean {
  for (let i = 0; ; i++) {
    const waiting = ring.at(i);
    if (waiting === undefined || waiting.term > entry.term) return false;
    if (waiting.term === entry.term) return waiting.index === entry.index;
  }
}

function settle(waiting: Waiting, results: readonly unknown[]): void {
  let from = 0;
  for (const proposal of waiting.proposals) {
    proposal.committed(results, from);
    from += proposal.recordCount;
  }
  assert(from === results.length, 'there is one result per record');
}

function reject(waiting: Waiting, reason: RejectReason): number {
  for (const proposal of waiting.proposals) proposal.rejected(reason);
  return waiting.proposals.length;
}
