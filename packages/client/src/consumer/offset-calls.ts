import { MqError } from '@raftmq/base';
import {
  decodeOffsetResponse,
  decodeStatusResponse,
  encodeGroupOffsetRequest,
  encodePullMessageRequest,
  encodeQueryOffsetRequest,
  queryOffsetPolicy,
  statusCode,
} from '@raftmq/protocol';
import { type ClientCore } from '../client-core.js';
import { messagingPath } from '../messaging-rpc.js';
import { type BrokerTarget } from '../route-cache.js';
import { type Subscription } from '../settings.js';
import { isOk, statusToError } from '../status-error.js';
import { MessageView } from './message-view.js';

/** One queue of a topic at one broker group. */
export interface PullQueue {
  readonly topic: string;
  readonly brokerName: string;
  readonly queueId: number;
}

/** A name for a queue that serves as a key. */
export function queueKey({ topic, brokerName, queueId }: PullQueue): string {
  return `${topic}/${brokerName}/${queueId}`;
}

export interface PulledMessages {
  readonly messages: readonly MessageView[];
  /** Where to go on. */
  readonly nextOffset: number;
  /** The offset asked for is not in the queue, and why; `nextOffset` is the nearest one that is. */
  readonly misplaced: string | null;
}

/** A place in a queue by name. */
export type OffsetPlace = 'first' | 'last' | { readonly timestampMs: number };

/** The calls of consumers that keep their own offsets. */
export class OffsetCalls {
  readonly #core: ClientCore;
  readonly #group: string;

  constructor(core: ClientCore, group: string) {
    this.#core = core;
    this.#group = group;
  }

  /** All queues of a topic that may be read, in a stable order. @throws MqError TOPIC_NOT_FOUND */
  async queues(topic: string): Promise<readonly PullQueue[]> {
    const { readable } = await this.#core.routes.get(topic);
    return readable.flatMap(({ name: brokerName, queues }) =>
      Array.from({ length: queues }, (_, queueId) => ({ topic, brokerName, queueId })),
    );
  }

  /** @throws MqError by the server's code; HA_NOT_AVAILABLE when nobody could be reached */
  async pull(
    queue: PullQueue,
    subscription: Subscription,
    offset: number,
    batchSize: number,
    pollMs: number,
    signal: AbortSignal,
  ): Promise<PulledMessages> {
    const broker = await this.#broker(queue);
    const request = encodePullMessageRequest({
      ...this.#name(queue),
      offset,
      batchSize,
      filterType: subscription.filterType,
      filterExpression: subscription.expression,
      longPollingMs: pollMs,
    });
    const answer = await this.#core.rpc
      .pull(broker.addresses, request, pollMs, signal)
      .catch((error: unknown) => {
        if (!signal.aborted) this.#core.routes.refresh(queue.topic);
        throw error;
      });
    const { status, nextOffset } = answer;
    const messages = answer.messages.map((message) => new MessageView(message, broker));
    if (isOk(status) || status.code === statusCode.MESSAGE_NOT_FOUND) {
      return { messages, nextOffset: nextOffset ?? offset, misplaced: null };
    }
    const outside =
      status.code === statusCode.OFFSET_NOT_FOUND || status.code === statusCode.ILLEGAL_OFFSET;
    if (outside && nextOffset !== null) return { messages, nextOffset, misplaced: status.message };
    throw statusToError(status);
  }

  /** Everything below `offset` is consumed by the group. @throws MqError ILLEGAL_OFFSET beyond the queue */
  async update(queue: PullQueue, offset: number): Promise<void> {
    const request = encodeGroupOffsetRequest({ ...this.#name(queue), offset });
    const status = decodeStatusResponse(
      await this.#call(queue, messagingPath.updateOffset, request),
    );
    if (!isOk(status)) throw statusToError(status);
  }

  /** The group's committed offset; null when it has none. */
  async committed(queue: PullQueue): Promise<number | null> {
    const request = encodeGroupOffsetRequest({ ...this.#name(queue), offset: 0 });
    const bytes = await this.#call(queue, messagingPath.getOffset, request);
    const { status, offset } = decodeOffsetResponse(bytes);
    if (status.code === statusCode.OFFSET_NOT_FOUND) return null;
    if (!isOk(status)) throw statusToError(status);
    return offset;
  }

  /** The offset of a place; of a time, that of the first message stored then or later. */
  async query(queue: PullQueue, place: OffsetPlace): Promise<number> {
    const policy =
      place === 'first'
        ? queryOffsetPolicy.BEGINNING
        : place === 'last'
          ? queryOffsetPolicy.END
          : queryOffsetPolicy.TIMESTAMP;
    const timestampMs = typeof place === 'string' ? null : place.timestampMs;
    const request = encodeQueryOffsetRequest({ ...this.#name(queue), policy, timestampMs });
    const bytes = await this.#call(queue, messagingPath.queryOffset, request);
    const { status, offset } = decodeOffsetResponse(bytes);
    if (!isOk(status)) throw statusToError(status);
    return offset;
  }

  async #call(queue: PullQueue, path: string, request: Buffer): Promise<Buffer> {
    const { addresses } = await this.#broker(queue);
    return this.#core.rpc.unary(addresses, path, request);
  }

  #name({ topic, brokerName, queueId }: PullQueue) {
    const group = this.#core.resource(this.#group);
    return { group, topic: this.#core.resource(topic), brokerName, queueId };
  }

  async #broker({ topic, brokerName }: PullQueue): Promise<BrokerTarget> {
    const { readable } = await this.#core.routes.get(topic);
    const broker = readable.find(({ name }) => name === brokerName);
    if (broker !== undefined) return broker;
    this.#core.routes.refresh(topic);
    throw new MqError('FORBIDDEN', `broker ${brokerName} has no queue of topic ${topic} to read`);
  }
}
