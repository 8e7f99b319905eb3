import { type Clock, type MqError } from '@raftmq/base';
import { type CommitLogReader, type QueueIndex } from '@raftmq/broker-store';
import {
  storedBodyCrc,
  storedBodySizeBytes,
  storedMessageId,
  storedQueueId,
  storedQueueOffset,
  storedTopic,
  type PreparedMessage,
} from '@raftmq/protocol';
import { type PublishMessage, type SendResult } from '../messaging.js';
import { IdTable } from '../state/id-table.js';
import { type RecentSends } from '../state/recent-sends.js';
import { type TopicRow } from '../state/tables.js';
import { type MessagingProbe } from './probe.js';
import { SendProposal, type Proposer } from './proposals.js';
import { type NextOffsets } from './next-offsets.js';

export interface OnceOnlyOptions {
  /** What was stored lately; null = every send is stored as it comes. */
  readonly recent: RecentSends | null;
  readonly proposer: Proposer;
  readonly offsets: NextOffsets;
  readonly queueIndex: Pick<QueueIndex, 'read'>;
  readonly log: Pick<CommitLogReader, 'cachedRecord' | 'readRecord'>;
  readonly clock: Clock;
  readonly probe: MessagingProbe;
  readonly appliedIndex: () => number;
  /** Why nothing can be stored now, null when it can. */
  readonly refusal: () => MqError | null;
}

/** The messages of one send call. */
export interface SendCall {
  readonly topic: TopicRow;
  /** Of the topic. */
  readonly queueId: number;
  readonly messages: readonly PublishMessage[];
  /** As many as `messages`, in the same order. */
  readonly prepared: readonly PreparedMessage[];
}

interface OpenCall extends SendCall {
  readonly proposal: SendProposal;
  readonly result: Promise<SendResult>;
}

/** A place that may hold a message: in a call under way, or in the log. */
interface Candidate {
  /** Number of the call, negative; or position in the log. */
  readonly key: number;
  readonly open: OpenCall | null;
  /** Place in the call. */
  readonly at: number;
  /** Size of the record in the log. */
  readonly sizeBytes: number;
}

/** Messages under way whose ids are remembered: room in the beginning, and at most. */
const UNDER_WAY_MIN = 4 * 1024;
const UNDER_WAY_MAX = 256 * 1024;

/**
 * Stores what is sent, and what is sent again only once. A message is known by topic and message id, and has to have the
 * same body: then a repeated one gets the place of the first. The first may be
 *
 *   stored      it is in {@link RecentSends}, and the record is read and compared;
 *   under way   it was proposed by this leader and not applied so far: the repeated one waits for its outcome.
 *
 * What an earlier leader had under way is either applied before this one serves, or will never be.
 */
export class OnceOnly {
  readonly #options: OnceOnlyOptions;
  /** Messages under way: hash to the number of their call and their place in it. */
  #underWay = new IdTable(UNDER_WAY_MIN);
  /** Calls whose outcome is not known, oldest first. */
  readonly #open = new Map<number, OpenCall>();
  /** Among them: answered "unknown" already. */
  #unknown: number[] = [];
  #nextCall = 1;
  /** Hashes of the call at hand: high, low, high, low … */
  #hashes = new Uint32Array(64);

  constructor(options: OnceOnlyOptions) {
    this.#options = options;
  }

  /** Calls under way. */
  get open(): number {
    return this.#open.size;
  }

  /** Leadership begins: nothing is under way. */
  reset(): void {
    this.#open.clear();
    this.#underWay = new IdTable(UNDER_WAY_MIN);
    this.#unknown = [];
  }

  /** @throws MqError of the proposal, which may be that of an earlier call with the same messages */
  send(call: SendCall): Promise<SendResult> {
    const { recent } = this.#options;
    if (recent === null) return this.#propose(call).result;
    const hashes = this.#hash(call, recent);
    const isKnown = this.#isKnown(hashes, call.messages.length, recent);
    return isKnown ? this.#sendAgain(call, recent) : this.#store(call, hashes);
  }

  /** Some of the messages are known, or seem to be: stores the others, if any. */
  async #sendAgain(call: SendCall, recent: RecentSends): Promise<SendResult> {
    const { messages, prepared } = call;
    const offsets = new Array<number>(messages.length).fill(-1);
    const others = messages.map(() => new Set<number>());
    // Over and over until nothing turns up any more. That last time there is no await, nor before the rest is proposed:
    // of two calls that repeat the same message, the second one sees that of the first.
    for (let found = true; found;) {
      found = false;
      this.#settleUnknown();
      for (let i = 0; i < messages.length; i++) {
        if (offsets[i]! >= 0) continue;
        const candidate = this.#candidate(call, i, recent, others[i]!);
        if (candidate === null) continue;
        found = true;
        const offset = await this.#offsetIn(call, i, candidate);
        if (offset >= 0) offsets[i] = offset;
        else others[i]!.add(candidate.key);
      }
    }
    const isNew = offsets.map((offset) => offset < 0);
    const left = messages.filter((_, i) => isNew[i]);
    if (left.length > 0) {
      const refusal = this.#options.refusal();
      if (refusal !== null) throw refusal;
      const rest = { ...call, messages: left, prepared: prepared.filter((_, i) => isNew[i]) };
      const stored = await this.#store(rest, this.#hash(rest, recent));
      if (left.length === messages.length) return stored;
      let next = stored.firstQueueOffset;
      for (let i = 0; i < isNew.length; i++) if (isNew[i]!) offsets[i] = next++;
    }
    this.#options.probe.messagesRepeated += messages.length - left.length;
    return { queueId: call.queueId, firstQueueOffset: offsets[0]!, repeats: { offsets, isNew } };
  }

  /** Where message `i` may be, except for what was looked at before; null = nowhere. */
  #candidate(
    call: SendCall,
    i: number,
    recent: RecentSends,
    others: ReadonlySet<number>,
  ): Candidate | null {
    const { high, low } = recent.hashOf(call.topic.idSalt, call.messages[i]!.messageId);
    const table = this.#underWay;
    for (let found = table.newest(high, low); found !== 0; found = table.earlier(found)) {
      const number = table.stamp(found);
      const open = this.#open.get(number);
      // No position is negative, and no call has the number 0.
      if (open === undefined || others.has(-number)) continue;
      return { key: -number, open, at: table.extra(found), sizeBytes: 0 };
    }
    const places = recent.places(high, low, this.#options.clock.wallMs());
    for (let j = 0; j < places.length; j += 2) {
      if (others.has(places[j]!)) continue;
      return { key: places[j]!, open: null, at: 0, sizeBytes: places[j + 1]! };
    }
    return null;
  }

  /** The queue offset of message `i` when it is the one at the candidate's place, else -1. */
  async #offsetIn(call: SendCall, i: number, candidate: Candidate): Promise<number> {
    const message = call.messages[i]!;
    const prepared = call.prepared[i]!;
    const { open, at } = candidate;
    if (open !== null) {
      const first = open.prepared[at]!;
      const same =
        open.topic === call.topic &&
        open.messages[at]!.messageId === message.messageId &&
        first.bodyCrc === prepared.bodyCrc &&
        first.body.length === prepared.body.length;
      return same ? (await open.result).firstQueueOffset + at : -1;
    }
    const { log, queueIndex } = this.#options;
    const { key: position, sizeBytes } = candidate;
    const record =
      log.cachedRecord(position, sizeBytes) ?? (await log.readRecord(position, sizeBytes));
    if (record === null || !isSameMessage(record, message, prepared)) return -1;
    const topic = storedTopic(record);
    const offset = storedQueueOffset(record);
    if (topic !== call.topic.config.name) return -1;
    // A topic of that name that was deleted since had other messages.
    const slice = queueIndex.read(topic, storedQueueId(record), offset, 1);
    const isThere = slice.count === 1 && slice.fromOffset === offset;
    return isThere && slice.positions[0] === position ? offset : -1;
  }

  /** Proposes messages that nobody knows, and remembers that they are under way. */
  #store(call: SendCall, hashes: Uint32Array): Promise<SendResult> {
    if (this.#unknown.length > 0) this.#settleUnknown();
    const open = this.#propose(call);
    const number = this.#nextCall;
    this.#nextCall = number === 0xffff_ffff ? 1 : number + 1;
    this.#open.set(number, open);
    for (let i = 0; i < call.messages.length; i++) {
      let table = this.#underWay;
      if (table.isFull && this.#open.has(table.oldestStamp)) table = this.#growUnderWay();
      table.add(hashes[2 * i]!, hashes[2 * i + 1]!, number, i, 0);
    }
    open.result.then(
      () => this.#open.delete(number),
      () => this.#failed(number, open),
    );
    return open.result;
  }

  #growUnderWay(): IdTable {
    const full = this.#underWay;
    if (full.capacity >= UNDER_WAY_MAX) return full;
    this.#underWay = new IdTable(full.capacity * 4);
    full.copyTo(this.#underWay);
    return this.#underWay;
  }

  #propose(call: SendCall): OpenCall {
    const { proposer, offsets } = this.#options;
    const { topic, queueId, messages, prepared } = call;
    let proposal!: SendProposal;
    const result = new Promise<SendResult>((resolve, reject) => {
      proposal = new SendProposal(prepared, queueId, offsets, resolve, reject);
      proposer.propose(proposal);
    });
    return { topic, queueId, messages, prepared, proposal, result };
  }

  /** What may still commit stays under way, so that its repetition is not stored beside it. */
  #failed(number: number, { proposal }: OpenCall): void {
    if (proposal.isOpen && this.#open.has(number)) this.#unknown.push(number);
    else this.#open.delete(number);
  }

  /** Lets go of what has an outcome by now: this leader's entries are in the log up to the applied one. */
  #settleUnknown(): void {
    const appliedIndex = this.#options.appliedIndex();
    this.#unknown = this.#unknown.filter((number) => {
      const open = this.#open.get(number);
      if (open !== undefined && open.proposal.sealedIndex > appliedIndex) return true;
      this.#open.delete(number);
      return false;
    });
  }

  #hash({ messages, topic }: SendCall, recent: RecentSends): Uint32Array {
    if (this.#hashes.length < messages.length * 2) {
      this.#hashes = new Uint32Array(messages.length * 4);
    }
    const hashes = this.#hashes;
    for (let i = 0; i < messages.length; i++) {
      const { high, low } = recent.hashOf(topic.idSalt, messages[i]!.messageId);
      hashes[2 * i] = high;
      hashes[2 * i + 1] = low;
    }
    return hashes;
  }

  #isKnown(hashes: Uint32Array, count: number, recent: RecentSends): boolean {
    const nowMs = this.#options.clock.wallMs();
    for (let i = 0; i < count; i++) {
      const high = hashes[2 * i]!;
      const low = hashes[2 * i + 1]!;
      if (this.#underWay.newest(high, low) !== 0 || recent.has(high, low, nowMs)) return true;
    }
    return false;
  }
}

/** Whether a stored message is the one that is sent: same id and same body. */
export function isSameMessage(
  record: Buffer,
  message: PublishMessage,
  prepared: PreparedMessage,
): boolean {
  return (
    storedBodyCrc(record) === prepared.bodyCrc &&
    storedBodySizeBytes(record) === prepared.body.length &&
    storedMessageId(record) === message.messageId
  );
}
