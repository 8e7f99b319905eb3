import { MqError } from '@raftmq/base';
import {
  callFailure,
  isOk,
  isTransportFailure,
  messagingPath,
  statusToError,
} from '@raftmq/client/internal';
import { decodeSendMessageResponse, decodeStatusResponse } from '@raftmq/protocol';
import { type SendTemplate } from './send-template.js';
import { type BenchTarget } from './target.js';

/** Pause after a failure: a dead server must not be asked in a busy loop. */
const FAILURE_PAUSE_MS = 50;

/** Sends requests of one template, round robin over the brokers of the topic, at the preferred address of each. */
export class BenchSender {
  readonly #target: BenchTarget;
  readonly #template: SendTemplate;
  #turn = 0;

  constructor(target: BenchTarget, template: SendTemplate) {
    this.#target = target;
    this.#template = template;
  }

  /**
   * One request. A failure is not repeated: the caller counts it.
   * @throws MqError when the request, or one of its messages, was not accepted
   */
  async send(stampMs: number): Promise<void> {
    try {
      await this.#send(stampMs);
    } catch (error) {
      if (isTransportFailure(error)) this.#target.core.routes.refresh(this.#target.topic);
      await new Promise((resolve) => setTimeout(resolve, FAILURE_PAUSE_MS));
      throw callFailure(error);
    }
  }

  async #send(stampMs: number): Promise<void> {
    const brokers = this.#target.brokers();
    if (brokers.length === 0) throw new MqError('FORBIDDEN', 'the topic has no writable queue');
    const broker = brokers[this.#turn++ % brokers.length]!;
    const { rpc } = this.#target.core;
    const address = rpc.pool.preferred(broker.addresses)[0]!;
    const request = this.#template.next(stampMs);
    const bytes = await rpc.unaryAt(address, messagingPath.sendMessage, request);
    const status = decodeStatusResponse(bytes);
    if (isOk(status)) {
      this.#template.recycle(request);
      return;
    }
    const entry = decodeSendMessageResponse(bytes).entries.find((one) => !isOk(one.status));
    throw statusToError(entry?.status ?? status);
  }
}
