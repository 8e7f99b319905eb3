/** Some consecutive offsets of a delivery command. */
export interface DeliveryRun {
  readonly fromOffset: number;
  readonly count: number;
  /** Not handed out but counted as consumed: the filter refused it, or the log no longer holds it. */
  readonly dropped: boolean;
}

/** What a delivery command says about one (group, topic, queue), beside its name. */
export interface DeliveryOrder {
  readonly runs: readonly DeliveryRun[];
  /** New offsets below this one that are in no run were looked at and skipped: they count as consumed. */
  readonly endOffset: number;
  readonly clientId: string;
  readonly autoRenew: boolean;
  readonly invisibleMs: number;
  /** Name of the client's attempt: a call that repeats it says that the answer was lost. */
  readonly attemptId: string | null;
}

/** What was really handed out; parallel lists, ascending by offset within retries and within new messages. */
export interface DeliveryGrant {
  readonly leaseId: number;
  readonly offsets: readonly number[];
  readonly attempts: readonly number[];
}

/**
 * How an ack, a change of invisible time or a dead-letter move ended.
 * `done`: it took effect, or had taken effect before. `ignored`: answered like success without effect, as the contract
 * of ordered groups asks. `stale`: the message was handed out again since, or never was.
 */
export type DeliveryOutcome = 'done' | 'ignored' | 'stale';

/** What may be handed out now. The caller looks up the messages and makes a {@link DeliveryOrder} of them. */
export interface DeliveryPlan {
  /** Offsets to hand out again, in this order. */
  readonly retries: readonly number[];
  /** Offsets whose attempts are used up: they go to the dead-letter queue first. */
  readonly exhausted: readonly number[];
  /** New messages may follow from here on; `newMax` of them at most. */
  readonly newFromOffset: number;
  readonly newMax: number;
  /** Wall clock at which the answer may change by itself; Infinity when only an event can change it. */
  readonly lookAgainAtMs: number;
  /** New messages are held back because too many are unacknowledged. */
  readonly limited: boolean;
}

/** What is known about the deliveries of a message that is out. */
export interface DeliveryHistory {
  /** Deliveries so far, the present one counted. */
  readonly attempts: number;
  readonly firstAtMs: number;
  readonly lastAtMs: number;
}

/** A lease that auto-renew may prolong. */
export interface RenewableLease {
  readonly leaseId: number;
  readonly clientId: string;
  readonly grantedAtMs: number;
  readonly visibleAtMs: number;
  readonly renewals: number;
  /** The client has the messages: it acknowledged some, or the leader that granted the lease lived to say so. */
  readonly known: boolean;
  /** Of the call that got it. */
  readonly attemptId: string | null;
  /** Of its first message that is still out. */
  readonly attempt: number;
}

/** Gives lease ids: growing, never reused, the same on every replica. */
export interface LeaseSequence {
  take(): number;
}

export interface PlanRequest {
  readonly nowMs: number;
  readonly batchSize: number;
  readonly attemptId: string | null;
  readonly maxAttempts: number;
  /** Unacknowledged messages that one queue may have; at the limit no new ones go out. */
  readonly openMax: number;
}

/**
 * Where one consumer group stands in one queue. A function of the commands applied to it and of their entry's time.
 * `nowMs` is always the store timestamp of the entry, except in {@link plan}.
 */
export interface DeliveryState {
  readonly kind: 'concurrent' | 'ordered';
  /**
   * Index of the entry that last put the group somewhere else in this queue; 0 = it only ever moved on. A delivery that
   * was planned before must not be carried out after it.
   */
  readonly epoch: number;
  /** Every message below is consumed. */
  readonly committedOffset: number;
  /** Messages from here on were never handed out. */
  readonly nextOffset: number;
  /** Whether the message is acknowledged, a dead letter, or passed over: it is not handed out any more. */
  isConsumed(offset: number): boolean;
  /** Messages handed out and not yet acknowledged, due or not. */
  readonly openCount: number;
  /** Nothing is in flight or counted: the state is its committed offset alone. */
  readonly quiet: boolean;
  /** Changes nothing. */
  plan(request: PlanRequest): DeliveryPlan;
  /**
   * Hands out what the order names and is free. It may have been planned before other commands were applied: what has no
   * attempt left by now stays behind, and in an ordered queue everything after it too.
   */
  deliver(
    order: DeliveryOrder,
    sequence: LeaseSequence,
    nowMs: number,
    maxAttempts?: number,
  ): DeliveryGrant;
  ack(offset: number, leaseId: number): DeliveryOutcome;
  /**
   * Makes offsets of one lease visible at another time; several offsets keep one lease together.
   * @param suspend the next delivery does not count as one more attempt
   * @returns one outcome for all, and the id for new receipt handles
   */
  changeInvisible(
    offsets: readonly number[],
    leaseId: number,
    visibleAtMs: number,
    suspend: boolean,
    sequence: LeaseSequence,
  ): { readonly outcome: DeliveryOutcome; readonly leaseId: number };
  /** Marks a message as consumed whoever holds it: it lies in the dead-letter queue now. */
  complete(offset: number): DeliveryOutcome;
  /** Everything below `offset` is consumed, whoever holds it. Never moves back. */
  skipTo(offset: number): void;
  /** Of a message that is out or waits to be handed out again; null of all others. */
  history(offset: number): DeliveryHistory | null;
  /**
   * What an ack would answer now, without its effect: `open` when it would take effect.
   */
  check(offset: number, leaseId: number): DeliveryOutcome | 'open';
  /**
   * Moves the end of auto-renewed leases; ids that are gone are passed over.
   * @param release this is the last move: nobody prolongs them any more
   * @param known their client has the messages
   */
  renew(leaseIds: readonly number[], visibleAtMs: number, release: boolean, known: boolean): void;
  /** Messages of a lease that are out under it and not acknowledged. */
  openOffsets(leaseId: number): readonly number[];
  /** Leases that auto-renew watches over. */
  renewable(): Iterable<RenewableLease>;
  /** The earliest time at which something in flight becomes visible; Infinity when nothing is. */
  earliestVisibleAtMs(): number;
}
