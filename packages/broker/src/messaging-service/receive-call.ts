import { MqError } from '@raftmq/base';
import { WaitingCall, type WaitingCaller } from '../longpoll/waiting-call.js';
import { type DeliveredMessage, type ReceiveRequest } from '../messaging.js';

/** A call without polling time goes on for so long when the first look moved messages, but found none to hand out. */
const WORK_MS_MIN = 100;

/** What a receive call asks of whoever serves it. */
export interface ReceiveServer {
  /** See `Poll.attempt`. */
  attempt(call: ReceiveCall): number | null;
  /** The caller went away while the call waited. */
  gone(call: ReceiveCall): void;
  /** The call's time is over, and it got nothing. */
  foundNothing(call: ReceiveCall): void;
  /** The call was answered, and nothing of it is on its way to the log any more. */
  over(call: ReceiveCall): void;
}

/** One receive call. A delivery that ends after it was answered gives its messages back. */
export class ReceiveCall extends WaitingCall<readonly DeliveredMessage[]> {
  readonly request: ReceiveRequest;
  readonly queueId: number | null;
  readonly filterKey: string;
  /** See {@link attemptKey}. */
  readonly attemptKey: string | null;
  /** Until then the call looks on after a look without a message; a call that does not wait has a moment for it. */
  readonly workUntilMs: number;
  /** The last attempt found a queue whose turn is taken. */
  sawBusy = false;
  /** The last attempt was held back by too many unacknowledged messages. */
  sawLimit = false;
  readonly #server: ReceiveServer;
  /** Leases of the call that are being written or given back. */
  #underWay = 0;

  /** @param lite the topic is of type LITE: the call takes from the lite topics of its client */
  constructor(
    request: ReceiveRequest,
    deadlineMs: number,
    lite: boolean,
    server: ReceiveServer,
    caller: WaitingCaller<readonly DeliveredMessage[]>,
  ) {
    super(request, deadlineMs, caller);
    this.request = request;
    this.queueId = request.queueId;
    this.attemptKey = attemptKey(request);
    // What lite consumers may get differs from client to client.
    const scope = lite ? `lite/${request.clientId}` : String(request.queueId ?? '');
    this.filterKey = `${scope}/${request.filter.key}`;
    this.workUntilMs = deadlineMs + Math.max(0, WORK_MS_MIN - request.pollingMs);
    this.#server = server;
  }

  attempt(): number | null {
    return this.#server.attempt(this);
  }

  timedOut(): void {
    this.#server.foundNothing(this);
  }

  /** Nobody listens any more: what an answer still holds is left to the call that comes after this one. */
  override handleEvent(): void {
    if (this.settled) return;
    this.gone();
    this.answer([]);
  }

  /** Its attempt is made again. Should someone listen all the same, "nothing" would be the end of the attempt's name. */
  replaced(): void {
    this.gone();
    this.failed(
      new MqError('REQUEST_TIMEOUT', 'the call was made again under the same attempt id'),
    );
  }

  /** A lease of the call may enter the log from here on, until {@link landed}. */
  takesOff(): void {
    this.#underWay++;
  }

  landed(): void {
    this.#underWay--;
    this.#endIfOver();
  }

  answer(messages: readonly DeliveredMessage[]): void {
    this.settle(messages);
  }

  protected gone(): void {
    this.#server.gone(this);
  }

  protected override ended(): void {
    this.#endIfOver();
  }

  #endIfOver(): void {
    if (this.settled && this.#underWay === 0) this.#server.over(this);
  }
}

/** What tells an attempt from others: names of different clients may be equal. null = it has no name. */
export function attemptKey(
  attempt: Pick<ReceiveRequest, 'attemptId' | 'clientId' | 'group' | 'topic'>,
): string | null {
  const { attemptId, clientId, group, topic } = attempt;
  return attemptId === null ? null : `${attemptId}\0${clientId}\0${group}\0${topic}`;
}
