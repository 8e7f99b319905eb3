import { type Clock, type MqError } from '@raftmq/base';
import { type CommitLogReader, type QueueIndex } from '@raftmq/broker-store';
import {
  isStoredMessage,
  storedQueueId,
  storedQueueOffset,
  storedTopic,
  type PreparedMessage,
} from '@raftmq/protocol';
import { type TimedPublishMessage } from '../messaging.js';
import { isSameMessage } from '../messaging-service/once-only.js';
import { decodeCommand, isCommandOfKind, type PutTimer } from '../state/commands/index.js';
import { type RecentSends, type SendHash } from '../state/recent-sends.js';
import { type TopicRow } from '../state/tables.js';
import { type PutTimersProposal, type TimedMessage } from './timer-proposals.js';

export interface TimedOnceOptions {
  /** What was stored lately; null = every send is stored as it comes. */
  readonly recent: RecentSends | null;
  readonly queueIndex: Pick<QueueIndex, 'read'>;
  readonly log: Pick<CommitLogReader, 'cachedRecord' | 'readRecord'>;
  readonly clock: Clock;
  readonly appliedIndex: () => number;
  /** Why nothing can be stored now, null when it can. */
  readonly refusal: () => MqError | null;
  /** Asks the log to store messages. */
  readonly put: (call: TimedCall) => OpenPut;
}

/** The messages of one call. */
export interface TimedCall {
  readonly topic: TopicRow;
  /** Of those that do not wait. */
  readonly queueId: number;
  readonly messages: readonly TimedPublishMessage[];
  /** As many as `messages`, in the same order. */
  readonly timed: readonly TimedMessage[];
}

/** A proposal on its way, and what comes of it: an id or an offset for each message. */
export interface OpenPut {
  readonly proposal: PutTimersProposal;
  readonly results: Promise<readonly number[]>;
}

/** Where a message is. */
export interface TimedPlace {
  /** null = in its queue. */
  readonly dueMs: number | null;
  /** Timer id, or queue offset; null = a timer whose id is not known any more. */
  readonly result: number | null;
  /** False = an earlier call stored it. */
  readonly isNew: boolean;
}

/** A message under way. */
interface Arriving {
  readonly put: OpenPut;
  /** Place in its call. */
  readonly at: number;
  readonly timed: TimedMessage;
}

/**
 * Stores messages with a delivery time, and what is sent again only once: what `OnceOnly` is for other messages. A message
 * is known by topic and message id, and has to have the same body. The first one is under way, or waits, or was recalled,
 * or is in its queue by now.
 */
export class TimedOnce {
  readonly #options: TimedOnceOptions;
  /** By topic and message id. */
  readonly #arriving = new Map<string, Arriving>();
  /** Answered "unknown": they may still come. */
  #unknown: { readonly keys: readonly string[]; readonly put: OpenPut }[] = [];

  constructor(options: TimedOnceOptions) {
    this.#options = options;
  }

  /** Leadership begins: nothing is under way. */
  reset(): void {
    this.#arriving.clear();
    this.#unknown = [];
  }

  /**
   * @param checkRoom throws when so many messages more cannot wait
   * @throws MqError of the proposal, which may be that of an earlier call with the same messages
   */
  async send(
    call: TimedCall,
    checkRoom: (waiting: number) => void,
  ): Promise<readonly TimedPlace[]> {
    const { recent, refusal } = this.#options;
    if (recent === null) {
      checkRoom(waitingIn(call));
      return placesOf(call, await this.#options.put(call).results);
    }
    const { messages } = call;
    const places: (TimedPlace | null)[] = messages.map(() => null);
    const others = messages.map(() => new Set<unknown>());
    // Over and over until nothing turns up any more: then nothing is awaited before the rest is proposed.
    for (let found = true; found;) {
      found = false;
      this.#settleUnknown();
      for (let i = 0; i < messages.length; i++) {
        if (places[i] !== null) continue;
        const look = this.#candidate(call, i, recent, others[i]!);
        if (look === null) continue;
        found = true;
        places[i] = await look();
      }
    }
    const left = messages.map((_, i) => i).filter((i) => places[i] === null);
    if (left.length > 0) {
      const refused = refusal();
      if (refused !== null) throw refused;
      const rest = {
        ...call,
        messages: left.map((i) => messages[i]!),
        timed: left.map((i) => call.timed[i]!),
      };
      checkRoom(waitingIn(rest));
      const stored = placesOf(rest, await this.#store(rest));
      for (const [n, i] of left.entries()) places[i] = stored[n]!;
    }
    return places as readonly TimedPlace[];
  }

  #store(call: TimedCall): Promise<readonly number[]> {
    const put = this.#options.put(call);
    const keys = call.messages.map(({ messageId }) => keyOf(call.topic, messageId));
    for (const [at, key] of keys.entries()) {
      this.#arriving.set(key, { put, at, timed: call.timed[at]! });
    }
    put.results.then(
      () => this.#forget(keys, put),
      () => {
        // What may still commit stays under way, so that its repetition is not stored beside it.
        if (put.proposal.isOpen) this.#unknown.push({ keys, put });
        else this.#forget(keys, put);
      },
    );
    return put.results;
  }

  #forget(keys: readonly string[], put: OpenPut): void {
    for (const key of keys) if (this.#arriving.get(key)?.put === put) this.#arriving.delete(key);
  }

  /** Lets go of what has an outcome by now: this leader's entries are in the log up to the applied one. */
  #settleUnknown(): void {
    if (this.#unknown.length === 0) return;
    const appliedIndex = this.#options.appliedIndex();
    this.#unknown = this.#unknown.filter(({ keys, put }) => {
      if (put.proposal.sealedIndex > appliedIndex) return true;
      this.#forget(keys, put);
      return false;
    });
  }

  /** How to look at the next place where message `i` may be; null = it is nowhere else. Gives null when it is another one. */
  #candidate(
    { topic, messages, timed }: TimedCall,
    i: number,
    recent: RecentSends,
    others: Set<unknown>,
  ): (() => Promise<TimedPlace | null>) | null {
    const { messageId } = messages[i]!;
    const { prepared } = timed[i]!;
    const arriving = this.#arriving.get(keyOf(topic, messageId));
    if (arriving !== undefined && !others.has(arriving.put)) {
      others.add(arriving.put);
      return () => placeUnderWay(arriving, prepared);
    }
    const nowMs = this.#options.clock.wallMs();
    const { high, low } = recent.hashOf(topic.idSalt, messageId);
    const visible = nextPlace(recent.places(high, low, nowMs), others);
    const message = { sent: messages[i]!, prepared };
    if (visible !== null) return () => this.#inQueue(topic, message, visible);
    const timer = recent.hashOfTimer(topic, messageId);
    const hash = { high: timer.high, low: timer.low };
    const waiting = nextPlace(recent.places(hash.high, hash.low, nowMs), others);
    return waiting === null ? null : () => this.#asTimer(recent, hash, message, waiting);
  }

  async #inQueue(topic: TopicRow, message: Sought, place: Place): Promise<TimedPlace | null> {
    const record = await this.#read(place);
    if (record === null || !isStoredMessage(record, 0)) return null;
    if (!isSameMessage(record, message.sent, message.prepared)) return null;
    const { name } = topic.config;
    if (storedTopic(record) !== name) return null;
    const result = storedQueueOffset(record);
    // A topic of that name that was deleted since had other messages.
    const slice = this.#options.queueIndex.read(name, storedQueueId(record), result, 1);
    const isThere = slice.count === 1 && slice.fromOffset === result;
    if (!isThere || slice.positions[0] !== place.position) return null;
    return { dueMs: null, result, isNew: false };
  }

  async #asTimer(
    recent: RecentSends,
    hash: SendHash,
    message: Sought,
    place: Place,
  ): Promise<TimedPlace | null> {
    const command = await this.#read(place);
    if (command === null || !isCommandOfKind(command, 0, 'put-timer')) return null;
    const { dueMs, record } = decodeCommand(command, 0, command.length) as PutTimer;
    if (!isSameMessage(record, message.sent, message.prepared)) return null;
    if (storedTopic(record) !== message.prepared.topic) return null;
    const result = recent.timerId(hash, place.position, this.#options.clock.wallMs());
    return { dueMs, result, isNew: false };
  }

  async #read({ position, sizeBytes }: Place): Promise<Buffer | null> {
    const { log } = this.#options;
    return log.cachedRecord(position, sizeBytes) ?? (await log.readRecord(position, sizeBytes));
  }
}

interface Sought {
  readonly sent: TimedPublishMessage;
  readonly prepared: PreparedMessage;
}

interface Place {
  readonly position: number;
  readonly sizeBytes: number;
}

/** The first place of a list of pairs that was not looked at before. */
function nextPlace(pairs: readonly number[], others: Set<unknown>): Place | null {
  for (let i = 0; i < pairs.length; i += 2) {
    if (others.has(pairs[i])) continue;
    others.add(pairs[i]);
    return { position: pairs[i]!, sizeBytes: pairs[i + 1]! };
  }
  return null;
}

async function placeUnderWay(
  { put, at, timed }: Arriving,
  prepared: PreparedMessage,
): Promise<TimedPlace | null> {
  const first = timed.prepared;
  if (first.bodyCrc !== prepared.bodyCrc || first.body.length !== prepared.body.length) return null;
  return { dueMs: timed.dueMs, result: (await put.results)[at]!, isNew: false };
}

function placesOf({ timed }: TimedCall, results: readonly number[]): readonly TimedPlace[] {
  return timed.map(({ dueMs }, i) => ({ dueMs, result: results[i]!, isNew: true }));
}

function waitingIn({ timed }: TimedCall): number {
  return timed.reduce((sum, { dueMs }) => sum + (dueMs === null ? 0 : 1), 0);
}

function keyOf({ config, epoch }: TopicRow, messageId: string): string {
  return `${config.name}\0${epoch}\0${messageId}`;
}
