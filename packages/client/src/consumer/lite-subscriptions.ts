import { errorText, MqError } from '@raftmq/base';
import {
  decodeStatusResponse,
  encodeSyncLiteSubscriptionRequest,
  liteAction,
  type LiteStart,
} from '@raftmq/protocol';
import { type ClientCore } from '../client-core.js';
import { messagingPath } from '../messaging-rpc.js';
import { isOk, statusToError } from '../status-error.js';

/** The server forgets a client that does not repeat its subscriptions. */
const REPEAT_MS = 30_000;

/** The lite topics of one topic of type LITE that a consumer takes messages from. */
export class LiteSubscriptions {
  readonly #core: ClientCore;
  readonly #group: string;
  readonly #topic: string;
  readonly #names = new Set<string>();
  #timer: NodeJS.Timeout | null = null;

  constructor(core: ClientCore, group: string, topic: string) {
    this.#core = core;
    this.#group = group;
    this.#topic = topic;
  }

  /** What is subscribed now. */
  get names(): ReadonlySet<string> {
    return this.#names;
  }

  /** Tells the servers of a consumer without lite topics so far, and again every 30 s. @throws MqError by their code */
  async start(): Promise<void> {
    await this.#sync(liteAction.COMPLETE_ADD, [...this.#names], null);
    this.#timer = setInterval(() => {
      this.#sync(liteAction.COMPLETE_ADD, [...this.#names], null).catch((error: unknown) => {
        this.#core.options.logger.warn(
          { topic: this.#topic, error: errorText(error) },
          'lite subscriptions could not be repeated',
        );
      });
    }, REPEAT_MS).unref();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /**
   * @param start where a group that is new to a lite topic begins; at its first message when left out
   * @throws MqError LITE_SUBSCRIPTION_QUOTA_EXCEEDED, LITE_TOPIC_QUOTA_EXCEEDED, ILLEGAL_LITE_TOPIC and others: nothing is
   *   subscribed then
   */
  async subscribe(names: readonly string[], start: LiteStart | null = null): Promise<void> {
    this.#core.checkRunning();
    await this.#sync(liteAction.PARTIAL_ADD, names, start);
    for (const name of names) this.#names.add(name);
  }

  /** @throws MqError by the server's code: everything stays subscribed then */
  async unsubscribe(names: readonly string[]): Promise<void> {
    this.#core.checkRunning();
    await this.#sync(liteAction.PARTIAL_REMOVE, names, null);
    for (const name of names) this.#names.delete(name);
  }

  async #sync(
    action: number,
    liteTopics: readonly string[],
    start: LiteStart | null,
  ): Promise<void> {
    const request = encodeSyncLiteSubscriptionRequest({
      action,
      topic: this.#core.resource(this.#topic),
      group: this.#core.resource(this.#group),
      liteTopics,
      version: 0,
      start,
    });
    // Any server passes it on to every broker group of the topic.
    const { rpc, accessAddresses } = this.#core;
    const answer = await rpc.unary(accessAddresses, messagingPath.syncLiteSubscription, request);
    const status = decodeStatusResponse(answer);
    if (!isOk(status)) throw statusToError(status);
  }
}

/** The parent topic of a consumer of lite topics. @throws MqError CONFIG_INVALID for more than one, or with a filter */
export function liteParent(subscriptions: Readonly<Record<string, unknown>>): string {
  const [first, ...more] = Object.entries(subscriptions);
  if (first !== undefined && more.length === 0 && first[1] === '*') return first[0];
  throw new MqError(
    'CONFIG_INVALID',
    "a consumer of lite topics has one subscription: their parent topic, with the filter '*'",
  );
}
