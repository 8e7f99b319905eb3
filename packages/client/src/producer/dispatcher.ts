import { MqError } from '@raftmq/base';
import {
  decodeSendMessageResponse,
  encodeSendMessageRequest,
  fifoQueueIndex,
  messageTypeName,
  type OutgoingMessage,
  type SendResponse,
  type SendResultEntry,
} from '@raftmq/protocol';
import { type ClientCore } from '../client-core.js';
import { messagingPath } from '../messaging-rpc.js';
import { type BrokerTarget, type Route } from '../route-cache.js';
import { backoffMs } from '../settings.js';
import { callFailure, isOk, isTransportFailure, statusToError } from '../status-error.js';
import { type SendReceipt } from './message.js';

/** What became of one message. */
export type SendOutcome = SendReceipt | MqError;

/** Failures that the same request may survive a moment later. */
const RETRYABLE: ReadonlySet<string> = new Set([
  'TOO_MANY_REQUESTS',
  'HA_NOT_AVAILABLE',
  'INTERNAL_ERROR',
  'REQUEST_TIMEOUT',
]);

interface Attempt {
  /** Outcomes, in the order of the messages that were tried. */
  readonly outcomes: readonly SendOutcome[];
  /** Nobody can say whether the messages were stored. */
  readonly unknown: boolean;
  /** Another address is worth a try at once. */
  readonly moveOn: boolean;
}

/**
 * Sends the messages of one request until each one is stored, refused for good, or out of attempts. A repeated message
 * keeps its id, so that a server that remembers ids stores it once.
 */
export class SendDispatcher {
  readonly #core: ClientCore;
  readonly #attemptsMax: number;
  #nextBroker = Math.floor(Math.random() * 1024);

  constructor(core: ClientCore, attemptsMax: number) {
    this.#core = core;
    this.#attemptsMax = attemptsMax;
  }

  /** @returns one outcome per message, in order; never rejects */
  async send(topic: string, messages: readonly OutgoingMessage[]): Promise<readonly SendOutcome[]> {
    const results: SendOutcome[] = new Array<SendOutcome>(messages.length);
    let left = messages.map((_, i) => i);
    let tried: string[] = [];
    let unknown = false;
    for (let attempt = 1; left.length > 0; attempt++) {
      const batch = left.map((i) => messages[i]!);
      const outcome = await this.#attempt(topic, batch, tried);
      unknown ||= outcome.unknown;
      const again: number[] = [];
      for (let k = 0; k < left.length; k++) {
        const result = outcome.outcomes[k]!;
        results[left[k]!] = result;
        if ('code' in result && RETRYABLE.has(result.code)) again.push(left[k]!);
      }
      left = again;
      if (left.length === 0 || attempt >= this.#attemptsMax || !this.#core.running) break;
      if (!outcome.moveOn) {
        tried = [];
        await pause(jitter(backoffMs(this.#core.settings, attempt)));
      }
    }
    return unknown ? results.map((result) => asUnknown(result)) : results;
  }

  async #attempt(
    topic: string,
    batch: readonly OutgoingMessage[],
    tried: string[],
  ): Promise<Attempt> {
    let route: Route;
    let broker: BrokerTarget;
    let request: Buffer;
    try {
      route = await this.#core.routes.get(topic);
      checkTypes(route, batch, this.#core.settings.validateMessageType);
      broker = this.#chooseBroker(route, batch[0]!.messageGroup);
      request = encodeSendMessageRequest(this.#core.resource(topic), batch);
    } catch (error) {
      return failed(batch, callFailure(error));
    }
    const addresses = this.#core.rpc.pool.preferred(broker.addresses);
    const address = addresses.find((candidate) => !tried.includes(candidate)) ?? addresses[0]!;
    tried.push(address);
    let response: SendResponse;
    try {
      response = decodeSendMessageResponse(
        await this.#core.rpc.unaryAt(address, messagingPath.sendMessage, request),
      );
    } catch (error) {
      if (isTransportFailure(error)) this.#core.routes.refresh(topic);
      return {
        ...failed(batch, callFailure(error)),
        unknown: isTransportFailure(error) && !error.neverBegun,
        moveOn: isTransportFailure(error) && addresses.some((other) => !tried.includes(other)),
      };
    }
    return this.#readResponse(response, topic, broker, batch);
  }

  #readResponse(
    response: SendResponse,
    topic: string,
    broker: BrokerTarget,
    batch: readonly OutgoingMessage[],
  ): Attempt {
    const { entries, status } = response;
    if (entries.length === 0) {
      const error = isOk(status)
        ? new MqError('INTERNAL_ERROR', 'the server answered OK without a result')
        : statusToError(status);
      if (error.code === 'FORBIDDEN' || error.code === 'TOPIC_NOT_FOUND') {
        this.#core.routes.refresh(topic);
      }
      return { ...failed(batch, error), unknown: error.code === 'REQUEST_TIMEOUT' };
    }
    // RocketMQ's own proxy stores a batch and answers with one entry for all of it.
    const one = entries.length !== batch.length;
    const outcomes = batch.map((message, i) =>
      receiptOf(message, topic, broker.name, one ? entries[0]! : entries[i]!, one && i > 0),
    );
    const unknown = outcomes.some((item) => 'code' in item && item.code === 'REQUEST_TIMEOUT');
    return { outcomes, unknown, moveOn: false };
  }

  /** Round robin; messages of one group always go to the same broker, as long as the route stays the same. */
  #chooseBroker(route: Route, messageGroup: string | null): BrokerTarget {
    const { writable } = route;
    if (writable.length === 0) {
      this.#core.routes.refresh(route.topic);
      throw new MqError(
        'FORBIDDEN',
        `the topic ${route.topic} has no queue that may be written to`,
      );
    }
    if (messageGroup !== null) {
      return queueOwner(writable, messageGroup);
    }
    const { pool } = this.#core.rpc;
    const start = this.#nextBroker++;
    for (let i = 0; i < writable.length; i++) {
      const broker = writable[(start + i) % writable.length]!;
      if (broker.addresses.some((address) => !pool.isIsolated(address))) return broker;
    }
    return writable[start % writable.length]!;
  }
}

/** The broker whose queue a message group falls on, counting the queues of all brokers. */
function queueOwner(brokers: readonly BrokerTarget[], messageGroup: string): BrokerTarget {
  let queue = fifoQueueIndex(
    messageGroup,
    brokers.reduce((sum, broker) => sum + broker.queues, 0),
  );
  for (const broker of brokers) {
    if (queue < broker.queues) return broker;
    queue -= broker.queues;
  }
  return brokers[0]!;
}

function checkTypes(route: Route, batch: readonly OutgoingMessage[], validate: boolean): void {
  if (!validate || route.acceptMessageTypes.length === 0) return;
  for (const message of batch) {
    if (route.acceptMessageTypes.includes(message.messageType)) continue;
    throw new MqError(
      'MESSAGE_PROPERTY_CONFLICT_WITH_TYPE',
      `the topic ${route.topic} takes no ${messageTypeName(message.messageType)} messages`,
    );
  }
}

function receiptOf(
  message: OutgoingMessage,
  topic: string,
  brokerName: string,
  entry: SendResultEntry,
  offsetUnknown: boolean,
): SendOutcome {
  if (!isOk(entry.status)) return statusToError(entry.status);
  const messageId = entry.messageId === '' || offsetUnknown ? message.messageId : entry.messageId;
  return {
    messageId,
    transactionId: entry.transactionId === '' ? messageId : entry.transactionId,
    topic,
    queueOffset: offsetUnknown || entry.recallHandle !== '' ? -1 : entry.offset,
    brokerName,
    recallHandle: entry.recallHandle,
  };
}

function failed(batch: readonly OutgoingMessage[], error: MqError): Attempt {
  return { outcomes: batch.map(() => error), unknown: false, moveOn: false };
}

/** After an attempt with an open outcome, a later refusal does not prove that the message was not stored. */
function asUnknown(outcome: SendOutcome): SendOutcome {
  if (!('code' in outcome) || outcome.code === 'REQUEST_TIMEOUT') return outcome;
  return new MqError(
    'REQUEST_TIMEOUT',
    `the outcome is unknown, an attempt got no answer; the last one ended with ${outcome.code}: ${outcome.message}`,
    { cause: outcome },
  );
}

function jitter(ms: number): number {
  return ms * (0.75 + Math.random() * 0.5);
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
