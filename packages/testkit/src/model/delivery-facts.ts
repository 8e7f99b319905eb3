/** A delivery as the log has it: what was asked for, when, and the lease it got. */
export interface DeliveryFacts {
  /** Store timestamp of the entry. */
  readonly nowMs: number;
  readonly leaseId: number;
  readonly invisibleMs: number;
  readonly attemptId: string | null;
  readonly autoRenew: boolean;
  /** Offsets to hand out, in order. */
  readonly wanted: readonly number[];
  /** Offsets to be counted as consumed instead. */
  readonly dropped: readonly number[];
  /** New offsets below were looked at. */
  readonly endOffset: number;
  /** What was really handed out, and the number of each delivery. */
  readonly offsets: readonly number[];
  readonly attempts: readonly number[];
}

export type ModelOutcome = 'done' | 'ignored' | 'stale';

/** What the model has to know of a queue and a group. */
export interface DeliverySubject {
  /** Whether the group's filter lets the message through. */
  wants(offset: number): boolean;
  readonly maxAttempts: () => number;
  /** Handed out again while its lease was to be renewed. */
  lapsed(offset: number): void;
}

/**
 * Where a group stands in a queue, as the contract says it: one record per message, no cleverness. Methods change the
 * model, and return what they would have answered, or what is wrong with what happened.
 */
export interface DeliveryModel {
  /** Index of the entry that put the group here; 0 = it came here by itself. */
  readonly epoch: number;
  /** Every message below is consumed. */
  readonly committedOffset: number;
  isConsumed(offset: number): boolean;
  /** Whether a receive at this time has something to hand out, in a queue that ends at `endOffset`. */
  available(nowMs: number, endOffset: number): boolean;
  /** Messages that are out, due or not. */
  openOffsets(): number[];
  /** @returns what is wrong with it; null = nothing */
  delivered(facts: DeliveryFacts): string | null;
  ack(offset: number, leaseId: number): ModelOutcome;
  changeInvisible(
    offsets: readonly number[],
    leaseId: number,
    visibleAtMs: number,
    suspend: boolean,
    newLeaseId: number,
  ): ModelOutcome;
  renew(leaseIds: readonly number[], visibleAtMs: number, release: boolean): void;
  /** Everything below is consumed, by the client's word. */
  skipTo(offset: number): void;
  /** A copy lies in the dead-letter queue. */
  deadLetter(offset: number): ModelOutcome;
}

/** Where a group begins, when it was put somewhere. */
export interface DeliveryStart {
  readonly offset: number;
  readonly epoch: number;
}

/** Compares a lease with what may go out. @returns what is wrong; null = nothing */
export function compareGrant(
  offsets: readonly number[],
  attempts: readonly number[],
  facts: DeliveryFacts,
): string | null {
  const expected = offsets.map((offset, i) => `${offset}#${attempts[i]}`).join(' ');
  const got = facts.offsets.map((offset, i) => `${offset}#${facts.attempts[i]}`).join(' ');
  if (expected === got) return null;
  return `the lease is for [${got}] (offset#delivery), where [${expected}] may go out`;
}
