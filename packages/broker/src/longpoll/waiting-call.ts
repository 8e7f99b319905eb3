import { type Poll, type PollPlace } from './poll-registry.js';

/** What a call asks for, as far as waiting is concerned. */
export interface WaitingRequest {
  readonly topic: string;
  readonly group: string;
  /** Aborted when the caller goes away. */
  readonly signal: AbortSignal;
}

/** Who made the call, and hears of its end once. */
export interface WaitingCaller<T> {
  readonly resolve: (answer: T) => void;
  readonly reject: (error: unknown) => void;
}

/** A call from its arrival to its one answer; it may wait in the poll registry meanwhile. */
export abstract class WaitingCall<T> implements Poll {
  readonly topic: string;
  readonly group: string;
  abstract readonly queueId: number | null;
  abstract readonly filterKey: string;
  /** On the monotonic clock. */
  readonly deadlineMs: number;
  place: PollPlace | null = null;
  /** The answer was given. */
  settled = false;
  readonly #signal: AbortSignal;
  readonly #caller: WaitingCaller<T>;

  constructor(
    { topic, group, signal }: WaitingRequest,
    deadlineMs: number,
    caller: WaitingCaller<T>,
  ) {
    this.topic = topic;
    this.group = group;
    this.deadlineMs = deadlineMs;
    this.#signal = signal;
    this.#caller = caller;
    signal.addEventListener('abort', this, { once: true });
  }

  abstract attempt(): number | null;

  /** Answers that there was nothing in time. */
  abstract timedOut(): void;

  /** The caller went away: the call waits no longer. */
  protected abstract gone(): void;

  /** The answer was given. */
  protected ended(): void {
    // Most have nothing to do then.
  }

  /** The abort signal's event. */
  handleEvent(): void {
    if (this.settled) return;
    this.gone();
    this.timedOut();
  }

  failed(error: unknown): void {
    if (this.#settle()) this.#caller.reject(error);
  }

  /** Answers, unless that was done before. */
  protected settle(answer: T): void {
    if (this.#settle()) this.#caller.resolve(answer);
  }

  #settle(): boolean {
    if (this.settled) return false;
    this.settled = true;
    this.#signal.removeEventListener('abort', this);
    this.ended();
    return true;
  }
}
