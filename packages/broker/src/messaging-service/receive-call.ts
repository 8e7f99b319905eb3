import { type MqError } from '@raftmq/base';
import { type Poll, type PollPlace } from '../longpoll/poll-registry.js';
import { type DeliveredMessage, type ReceiveRequest } from '../messaging.js';

/** A call without polling time goes on for so long when the first look moved messages, but found none to hand out. */
const WORK_MS_MIN = 100;

/** What a receive call asks of whoever serves it. */
export interface ReceiveServer {
  /** See {@link Poll.attempt}. */
  attempt(call: ReceiveCall): number | null;
}

/** One receive call from its arrival to its one answer; it waits in the poll registry meanwhile. */
export class ReceiveCall implements Poll {
  readonly request: ReceiveRequest;
  readonly topic: string;
  readonly group: string;
  readonly queueId: number | null;
  readonly filterKey: string;
  /** On the monotonic clock. */
  readonly deadlineMs: number;
  /** Until then the call looks on after a look without a message; a call that does not wait has a moment for it. */
  readonly workUntilMs: number;
  place: PollPlace | null = null;
  /** The answer was given; a delivery that ends later gives its messages back. */
  settled = false;
  /** The last attempt found a queue whose turn is taken. */
  sawBusy = false;
  /** The last attempt was held back by too many unacknowledged messages. */
  sawLimit = false;
  readonly #server: ReceiveServer;
  readonly #resolve: (messages: readonly DeliveredMessage[]) => void;
  readonly #reject: (error: unknown) => void;
  /** Called once when the caller goes away while the call waits. */
  readonly #gone: (call: ReceiveCall) => void;

  /** @param lite the topic is of type LITE: the call takes from the lite topics of its client */
  constructor(
    request: ReceiveRequest,
    deadlineMs: number,
    lite: boolean,
    server: ReceiveServer,
    resolve: (messages: readonly DeliveredMessage[]) => void,
    reject: (error: unknown) => void,
    gone: (call: ReceiveCall) => void,
  ) {
    this.request = request;
    this.topic = request.topic;
    this.group = request.group;
    this.queueId = request.queueId;
    // What lite consumers may get differs from client to client.
    const scope = lite ? `lite/${request.clientId}` : String(request.queueId ?? '');
    this.filterKey = `${scope}/${request.filter.key}`;
    this.deadlineMs = deadlineMs;
    this.workUntilMs = deadlineMs + Math.max(0, WORK_MS_MIN - request.pollingMs);
    this.#server = server;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#gone = gone;
    request.signal.addEventListener('abort', this, { once: true });
  }

  /** The abort signal's event. */
  handleEvent(): void {
    if (this.settled) return;
    this.#gone(this);
    this.answer([]);
  }

  attempt(): number | null {
    return this.#server.attempt(this);
  }

  timedOut(): void {
    this.answer([]);
  }

  answer(messages: readonly DeliveredMessage[]): void {
    if (this.#settle()) this.#resolve(messages);
  }

  failed(error: MqError): void {
    this.fail(error);
  }

  fail(error: unknown): void {
    if (this.#settle()) this.#reject(error);
  }

  #settle(): boolean {
    if (this.settled) return false;
    this.settled = true;
    this.request.signal.removeEventListener('abort', this);
    return true;
  }
}
