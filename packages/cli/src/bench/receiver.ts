import { isOk, messagingPath, statusToError } from '@raftmq/client/internal';
import {
  decodeAckMessageResponse,
  encodeAckMessageRequest,
  encodeReceiveMessageRequest,
  filterType,
  type ReceivedMessage,
  statusCode,
} from '@raftmq/protocol';
import { type BrokerTarget } from '@raftmq/client';
import { type BenchTarget } from './target.js';

const INVISIBLE_MS = 60_000;
const FAILURE_PAUSE_MS = 50;
/** Largest batch that servers hand out. */
export const RECEIVE_BATCH_MAX = 32;

/** What one poll brought, and from whom. */
export interface Received {
  readonly broker: BrokerTarget | null;
  readonly messages: readonly ReceivedMessage[];
}

const NOTHING: Received = { broker: null, messages: [] };

/** Receives and acknowledges, one poll after another, until stopped. */
export class BenchReceiver {
  readonly #target: BenchTarget;
  readonly #group: string;
  readonly #batch: number;
  readonly #pollMs: number;
  #turn = 0;

  constructor(target: BenchTarget, group: string, batch: number, pollMs: number) {
    this.#target = target;
    this.#group = group;
    this.#batch = batch;
    this.#pollMs = pollMs;
  }

  /** One poll. @returns the messages, not acknowledged yet. @throws MqError by the server's code */
  async receive(signal: AbortSignal): Promise<Received> {
    const brokers = this.#target.brokers();
    const broker = brokers[this.#turn++ % Math.max(1, brokers.length)];
    if (broker === undefined) {
      await pause();
      return NOTHING;
    }
    const { core, topic } = this.#target;
    const request = encodeReceiveMessageRequest({
      group: core.resource(this.#group),
      topic: core.resource(topic),
      brokerName: broker.name,
      queueId: broker.queueId,
      filterType: filterType.TAG,
      filterExpression: '*',
      batchSize: this.#batch,
      invisibleMs: INVISIBLE_MS,
      autoRenew: false,
      longPollingMs: this.#pollMs,
      attemptId: null,
    });
    try {
      const answer = await core.rpc.receive(broker.addresses, request, this.#pollMs, signal);
      if (answer.status.code === statusCode.MESSAGE_NOT_FOUND) return NOTHING;
      if (!isOk(answer.status)) throw statusToError(answer.status);
      return { broker, messages: answer.messages };
    } catch (error) {
      if (!signal.aborted) core.routes.refresh(topic);
      await pause();
      throw error;
    }
  }

  /** Acknowledges in one call. @returns how many were taken */
  async ack({ broker, messages }: Received): Promise<number> {
    if (broker === null || messages.length === 0) return 0;
    const { core, topic } = this.#target;
    const request = encodeAckMessageRequest({
      group: core.resource(this.#group),
      topic: core.resource(topic),
      entries: messages,
    });
    const bytes = await core.rpc.unary(broker.addresses, messagingPath.ackMessage, request);
    const answer = decodeAckMessageResponse(bytes);
    if (isOk(answer.status)) return messages.length;
    return answer.entries.filter((entry) => isOk(entry.status)).length;
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, FAILURE_PAUSE_MS));
}
