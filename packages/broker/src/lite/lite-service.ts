import { errorText, MqError, type CancelTimer, type Clock, type Logger } from '@raftmq/base';
import { liteAction, type LiteStart } from '@raftmq/protocol';
import { type RecordsProposer } from '../messaging-service/proposals.js';
import {
  LITE_START_BEGINNING,
  LITE_START_END,
  LITE_START_OFFSET,
  type LiteSubscribe,
} from '../state/commands/lite.js';
import { type Tables } from '../state/tables.js';
import { type QueueReader } from './delivery-queues.js';
import { type LiteSettings } from './settings.js';

/** What a client asks for. Names are checked by the caller. */
export interface LiteSubscriptionChange {
  readonly topic: string;
  readonly group: string;
  readonly clientId: string;
  /** Wire number of LiteSubscriptionAction. */
  readonly action: number;
  readonly names: readonly string[];
  readonly start: LiteStart | null;
}

export interface LiteServiceOptions {
  readonly tables: Tables;
  readonly queues: QueueReader;
  readonly proposer: RecordsProposer;
  /** First offset of a queue stored at or after a time. */
  readonly offsetByTime: (topic: string, queueId: number, timestampMs: number) => Promise<number>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly settings: LiteSettings;
  /** A client that was silent for so long is gone. */
  readonly clientExpiryMs: number;
}

const SCAN_INTERVAL_MS = 30_000;
/** Lite topics forgotten by one command. */
const EXPIRE_BATCH = 1_000;
/** Messages looked at to find the newest few of a lite topic. */
const TAIL_SCAN_MAX = 100_000;

/**
 * Subscriptions to lite topics, on the leader. What a client takes from is replicated, so that a new leader knows it at
 * once; clients repeat it every 30 s, which writes nothing as long as it is the same. Who stays silent is forgotten.
 */
export class LiteService {
  readonly #options: LiteServiceOptions;
  /** Last sign of life of clients with subscriptions, on the monotonic clock. */
  readonly #seen = new Map<string, number>();
  #cancelScan: CancelTimer | null = null;

  constructor(options: LiteServiceOptions) {
    this.#options = options;
  }

  /** Leadership began. Every client gets its whole time again. */
  start(): void {
    const nowMs = this.#options.clock.monotonicMs();
    this.#seen.clear();
    for (const { clientId } of this.#options.tables.lite.clients()) this.#seen.set(clientId, nowMs);
    this.#schedule();
  }

  stop(): void {
    this.#cancelScan?.();
    this.#cancelScan = null;
  }

  clientSeen(clientId: string): void {
    if (this.#seen.has(clientId)) this.#seen.set(clientId, this.#options.clock.monotonicMs());
  }

  /** The client said goodbye; of one group, or of all it was in. */
  clientGone(clientId: string, group: string | null): void {
    if (!this.#seen.has(clientId)) return;
    this.#forget(
      (client) => client.clientId === clientId && (group ?? client.group) === client.group,
    );
  }

  /**
   * Topic (of type LITE) and group must exist.
   * @throws MqError LITE_SUBSCRIPTION_QUOTA_EXCEEDED, LITE_TOPIC_QUOTA_EXCEEDED, BAD_REQUEST, and those of the proposal
   */
  async sync(change: LiteSubscriptionChange): Promise<void> {
    const { topic, group, clientId, names } = change;
    const { proposer, settings, clock } = this.#options;
    const kind = changeOf(change);
    this.#seen.set(clientId, clock.monotonicMs());
    if (this.#isKnown(change, kind)) return;
    const starts = kind === 'remove' ? [] : await this.#starts(change);
    await proposer.command({
      kind: 'lite-subscribe',
      topic,
      group,
      clientId,
      change: kind,
      names: change.action === liteAction.COMPLETE_REMOVE ? [] : names,
      starts,
      subscriptionsMax: settings.liteSubscriptionsMax,
      liteTopicsMax: settings.liteTopicsMax,
    });
  }

  /** Whether the client has that already: what is repeated every 30 s writes nothing. */
  #isKnown(change: LiteSubscriptionChange, kind: LiteSubscribe['change']): boolean {
    const { lite } = this.#options.tables;
    const client = lite.client(change.topic, change.group, change.clientId);
    if (client === undefined) return false;
    const names = change.action === liteAction.COMPLETE_REMOVE ? [] : change.names;
    let has = 0;
    for (const name of names) {
      const id = lite.byName(change.topic, name)?.id;
      if (id !== undefined && client.ids.has(id)) has++;
    }
    if (kind === 'add') return has === names.length;
    if (kind === 'remove') return has === 0;
    return has === names.length && client.ids.size === new Set(names).size;
  }

  /** Turns what the client asked for into places in the parent's queue. */
  async #starts(change: LiteSubscriptionChange): Promise<readonly number[]> {
    const { start, names, topic } = change;
    if (start === null || !('offset' in start || 'count' in start || 'timestampMs' in start)) {
      return start?.kind === 'max' ? names.map(() => LITE_START_END) : [];
    }
    const { tables, offsetByTime } = this.#options;
    const starts: number[] = [];
    for (const name of names) {
      const lite = tables.lite.byName(topic, name);
      if (lite === undefined || lite.messages === 0) starts.push(LITE_START_BEGINNING);
      else if (start.kind === 'offset') starts.push(LITE_START_OFFSET + Math.max(0, start.offset));
      else if (start.kind === 'tail') {
        starts.push(LITE_START_OFFSET + this.#tailFrom(topic, lite.id, start.count));
      } else {
        const offset = await offsetByTime(topic, lite.queueId, start.timestampMs);
        starts.push(LITE_START_OFFSET + offset);
      }
    }
    return starts;
  }

  /** Offset of the first of the newest `count` messages of a lite topic. */
  #tailFrom(topic: string, id: number, count: number): number {
    const lite = this.#options.tables.lite.byId(topic, id)!;
    if (count <= 0) return lite.endOffset;
    if (count >= lite.messages) return 0;
    const { tail } = lite;
    if (count <= tail.length) return tail[tail.length - count]!;
    if (lite.messages > TAIL_SCAN_MAX) {
      throw new MqError(
        'BAD_REQUEST',
        `lite topic ${lite.name} has ${lite.messages} messages: beginning at the newest ${count} of so many is not offered; begin at a time instead`,
      );
    }
    let at = lite.firstOffset;
    for (let skip = lite.messages - count; skip > 0; skip--) {
      at = this.#options.queues.read(topic, id, at, 1).fromOffset + 1;
    }
    return at;
  }

  #schedule(): void {
    this.stop();
    this.#cancelScan = this.#options.clock.setTimer(SCAN_INTERVAL_MS, () => {
      this.#forgetSilent();
      this.#expireTopics();
      this.#schedule();
    });
  }

  #forgetSilent(): void {
    const { clock, clientExpiryMs } = this.#options;
    const oldestMs = clock.monotonicMs() - clientExpiryMs;
    this.#forget(({ clientId }) => (this.#seen.get(clientId) ?? -Infinity) < oldestMs);
  }

  #forget(gone: (client: { readonly group: string; readonly clientId: string }) => boolean): void {
    const { tables, proposer, logger } = this.#options;
    const byTopic = new Map<string, { group: string; clientId: string }[]>();
    for (const client of tables.lite.clients()) {
      if (!gone(client)) continue;
      const { topic, group, clientId } = client;
      const clients = byTopic.get(topic);
      if (clients === undefined) byTopic.set(topic, [{ group, clientId }]);
      else clients.push({ group, clientId });
    }
    for (const [topic, clients] of byTopic) {
      for (const { clientId } of clients) this.#seen.delete(clientId);
      proposer.command({ kind: 'lite-forget', topic, clients }).catch((error: unknown) => {
        for (const { clientId } of clients) this.#seen.set(clientId, -Infinity);
        logger.debug({ error: errorText(error) }, 'gone lite clients are forgotten later');
      });
    }
  }

  #expireTopics(): void {
    const { tables, proposer, logger, clock, settings } = this.#options;
    const beforeMs = clock.wallMs() - settings.liteTopicIdleMs;
    if (beforeMs <= 0) return;
    const byTopic = new Map<string, number[]>();
    for (const { topic, id, lastMs } of tables.lite.topics()) {
      if (lastMs >= beforeMs || tables.lite.subscribed(topic, id)) continue;
      const ids = byTopic.get(topic);
      if (ids === undefined) byTopic.set(topic, [id]);
      else if (ids.length < EXPIRE_BATCH) ids.push(id);
    }
    for (const [topic, ids] of byTopic) {
      proposer.command({ kind: 'lite-expire', topic, ids, beforeMs }).catch((error: unknown) => {
        logger.debug({ error: errorText(error) }, 'idle lite topics are forgotten later');
      });
    }
  }
}

function changeOf({ action }: LiteSubscriptionChange): LiteSubscribe['change'] {
  switch (action) {
    case liteAction.PARTIAL_ADD:
      return 'add';
    case liteAction.PARTIAL_REMOVE:
      return 'remove';
    case liteAction.COMPLETE_ADD:
    case liteAction.COMPLETE_REMOVE:
      return 'replace';
    default:
      throw new MqError(
        'BAD_REQUEST',
        `the lite subscription action ${action} is not known; this version knows 0 to 3`,
      );
  }
}
