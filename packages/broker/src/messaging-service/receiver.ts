import { isMqError, MqError, type Clock, type Logger } from '@raftmq/base';
import { consumeLimits, storedLiteTopic, type MessageFilter } from '@raftmq/protocol';
import { type QueueReader } from '../lite/delivery-queues.js';
import { isLiteQueueId } from '../lite/lite-queue-ids.js';
import { readyLiteTurns } from '../lite/ready-turns.js';
import { type PollRegistry } from '../longpoll/poll-registry.js';
import { type DeliveredMessage, type ReceiveRequest } from '../messaging.js';
import { deliveryEpoch, type GroupRow, type Tables, type TopicRow } from '../state/tables.js';
import { type Attempts } from './attempts.js';
import { type DeadLetters } from './dead-letters.js';
import { groupGone, isPaused } from './group-behaviour.js';
import { isExpired } from './expiry.js';
import { type MessagingProbe } from './probe.js';
import { Leases, type LoadedCall, type LoadedTurn, type Turn } from './leases.js';
import { type RecordsProposer } from './proposals.js';
import { QueueTurns, type Convoy, type OpenTurn, type QueueTurn } from './queue-turns.js';
import { ReceiveCall, type ReceiveServer } from './receive-call.js';
import { type Receipts } from './receipts.js';
import { type Renewals } from './renewals.js';
import { Effort, hasWork, select, type RecordAtHand, type Selection } from './selection.js';
import { type MessagingSettings } from './settings.js';
import { TurnRecords, type RecordLog } from './turn-records.js';

export interface ReceiverOptions {
  readonly tables: Tables;
  readonly queueIndex: QueueReader;
  readonly log: RecordLog;
  readonly proposer: RecordsProposer;
  readonly deadLetters: DeadLetters;
  readonly receipts: Receipts;
  readonly attempts: Attempts;
  readonly renewals: Renewals;
  readonly polls: PollRegistry;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly settings: MessagingSettings;
  readonly probe: MessagingProbe;
  /** Store timestamp of the last applied entry: leases are never looked at with an earlier time. */
  readonly lastStoreTimestampMs: () => number;
  /** null while this replica leads; else what calls are told. */
  readonly refusal: () => MqError | null;
}

/** Queues to look at: from `first` on, and round to the one before it. */
interface TurnOrder {
  readonly turns: readonly QueueTurn[];
  readonly first: number;
}

/** How far a look at several queues has come when it reaches the next one. */
interface LookSoFar {
  readonly effort: Effort;
  readonly messages: number;
  readonly sizeBytes: number;
  readonly behind: OpenTurn | null;
  readonly recordAtHand: RecordAtHand;
}

/** A call and the turns it takes. */
interface Member {
  readonly call: ReceiveCall;
  readonly turns: readonly Turn[];
}

/** Calls that come in one turn of the event loop, or are woken together, and share a proposal. */
class OpenConvoy implements Convoy {
  readonly members: Member[] = [];

  get calls(): number {
    return this.members.length;
  }
}

/** Calls in one convoy. */
const CONVOY_CALLS_MAX = 32;

/** Reads of one turn for a filter that has found nothing yet; then others have their turn. */
const READ_ROUNDS_MAX = 16;

/**
 * Serves receive calls. A call takes the turn of one or more queues, reads the messages it found, and proposes their
 * lease; the answer goes out when the lease is committed. At most one proposal is on its way per (group, topic, queue):
 * calls that come before it is made go with it as a convoy, whoever finds a turn taken later, or nothing at all, waits in
 * the poll registry.
 */
export class Receiver implements ReceiveServer {
  readonly #options: ReceiverOptions;
  readonly #turns = new QueueTurns();
  readonly #cached: RecordAtHand = (position, sizeBytes) =>
    this.#options.log.cachedRecord(position, sizeBytes) ?? undefined;

  readonly #leases: Leases;

  constructor(options: ReceiverOptions) {
    this.#options = options;
    this.#leases = new Leases(options);
  }

  /** Leadership began or ended: nothing that was remembered about queues holds any more. */
  reset(): void {
    this.#turns.clear();
  }

  forgetTopic(topic: string): void {
    this.#turns.forgetTopic(topic);
  }

  forgetGroup(group: string): void {
    this.#turns.forgetGroup(group);
  }

  /**
   * Topic and group must exist.
   * @param sinceMs when the call came, on the monotonic clock: its polling time began then
   * @throws MqError see `Messaging.receive`
   */
  receive(request: ReceiveRequest, sinceMs: number): Promise<readonly DeliveredMessage[]> {
    const { tables } = this.#options;
    if (request.signal.aborted) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      const deadlineMs = sinceMs + request.pollingMs;
      const lite = tables.topics.get(request.topic)?.config.type === 'LITE';
      const call = new ReceiveCall(request, deadlineMs, lite, this, { resolve, reject });
      this.#options.attempts.begin(call);
      this.#serve(call);
    });
  }

  gone(call: ReceiveCall): void {
    this.#options.polls.remove(call);
  }

  /** What an answer under the call's name still holds is given back first: "nothing" is the end of that name. */
  foundNothing(call: ReceiveCall): void {
    const given = this.#options.attempts.ended(call);
    if (given === null) return call.answer([]);
    call.takesOff();
    const answered = given.then(
      () => call.answer([]),
      (error: unknown) => call.failed(error),
    );
    void answered.then(() => call.landed());
  }

  over(call: ReceiveCall): void {
    this.#options.attempts.over(call);
  }

  attempt(call: ReceiveCall): number | null {
    const { tables } = this.#options;
    const topic = tables.topics.get(call.topic);
    const group = tables.groups.get(call.group);
    if (topic === undefined || group === undefined) {
      call.failed(goneError(call, topic === undefined));
      return null;
    }
    call.sawBusy = false;
    call.sawLimit = false;
    // A change of the group wakes its polls.
    if (isPaused(group.config)) return Infinity;
    const found = this.#look(call, topic, group);
    if (typeof found === 'number') return found;
    this.#join(call, found);
    return null;
  }

  /** Takes the turns for the call; it goes with the convoy that one of them belongs to, or leads one. */
  #join(call: ReceiveCall, turns: readonly Turn[]): void {
    let convoy = turns.find(({ turn }) => turn.open !== null)?.turn.open?.convoy as
      OpenConvoy | undefined;
    if (convoy === undefined) {
      const led = new OpenConvoy();
      convoy = led;
      queueMicrotask(() => void this.#deliver(led.members));
    }
    convoy.members.push({ call, turns });
    call.takesOff();
    for (const { turn, group, selection } of turns) {
      turn.busy = true;
      const { fresh, retries, dropped, exhausted, unread, endOffset } = selection;
      const state = this.#options.tables.delivery(call.group, call.topic, turn.queueId)?.state;
      const ordered = group.config.fifo || state?.kind === 'ordered';
      const joinable =
        !ordered && !isLiteQueueId(turn.queueId) && exhausted.length + unread.length === 0;
      if (!joinable) {
        turn.open = null;
        continue;
      }
      turn.open ??= { convoy, endOffset: 0, freshCount: 0, again: new Set() };
      turn.open.endOffset = Math.max(turn.open.endOffset, endOffset);
      turn.open.freshCount += fresh.length;
      for (const { offset } of retries) turn.open.again.add(offset);
      for (const offset of dropped) turn.open.again.add(offset);
    }
  }

  /** Tries at once; lets the call wait when there is nothing. */
  #serve(call: ReceiveCall): void {
    if (call.settled) return;
    const { clock, polls, probe, settings } = this.#options;
    const refusal = this.#options.refusal();
    if (refusal !== null) return call.failed(refusal);
    const lookAgainAtMs = this.attempt(call);
    if (lookAgainAtMs === null) return;
    const nowMs = clock.monotonicMs();
    let deadlineMs = call.deadlineMs;
    if (call.sawBusy && call.request.pollingMs === 0) deadlineMs += settings.turnWaitMs;
    if (call.sawLimit) {
      probe.receivesRefused++;
      return call.failed(limitError(call, settings.openMessagesMax));
    }
    if (deadlineMs <= nowMs) return call.timedOut();
    try {
      polls.park(call, deadlineMs, lookAgainAtMs);
    } catch (error) {
      probe.receivesRefused++;
      call.failed(error);
    }
  }

  /** Looks through the queues; gives the turns to take, or when to look again. */
  #look(call: ReceiveCall, topic: TopicRow, group: GroupRow): readonly Turn[] | number {
    const { turns, first } = this.#turnsOf(call, topic);
    const effort = new Effort();
    const found: Turn[] = [];
    let unread: Turn | null = null;
    let convoy: Convoy | null = null;
    let messages = 0;
    let sizeBytes = 0;
    let lookAgainAtMs = Infinity;
    let limitedQueues = 0;
    for (let i = 0; i < turns.length && messages < call.request.batchSize && !effort.spent; i++) {
      const turn = turns[(first + i) % turns.length]!;
      const behind = turn.open;
      if (turn.busy && (behind === null || !admits(behind.convoy, convoy))) {
        call.sawBusy = true;
        continue;
      }
      const place = { turn, topic, group, epoch: this.#enter(call, topic, turn) };
      const so = { effort, messages, sizeBytes, behind, recordAtHand: this.#cached };
      const selection = this.#select(call, place, so);
      if (behind !== null) {
        // What is not taken now stays with those before: it is not known yet whether they get theirs.
        call.sawBusy = true;
        if (selection.retries.length + selection.fresh.length + selection.dropped.length === 0)
          continue;
        convoy = behind.convoy;
      }
      lookAgainAtMs = Math.min(lookAgainAtMs, selection.lookAgainAtMs);
      if (selection.limited) limitedQueues++;
      if (!hasWork(selection)) {
        turn.scanFrom = Math.max(turn.scanFrom, selection.endOffset);
        if (selection.unread.length > 0) unread ??= { ...place, selection };
        continue;
      }
      found.push({ ...place, selection });
      messages += selection.retries.length + selection.fresh.length;
      sizeBytes += selection.sizeBytes;
    }
    call.sawLimit = limitedQueues > 0 && limitedQueues === turns.length && found.length === 0;
    if (found.length > 0) return found;
    if (unread !== null) return [unread];
    // The filter passed over all that there was time for: others are served, then it goes on.
    return effort.spent ? this.#options.clock.wallMs() : lookAgainAtMs;
  }

  /** Forgets what was found out about the queue before the group was put somewhere else in it. */
  #enter(call: ReceiveCall, topic: TopicRow, turn: QueueTurn): number {
    const row = this.#options.tables.delivery(call.group, call.topic, turn.queueId);
    const epoch = deliveryEpoch(topic, row);
    if (epoch !== turn.epoch) turn.scanFrom = 0;
    turn.epoch = epoch;
    return epoch;
  }

  /** The queues that the call may take from, in the order to look at them. */
  #turnsOf(call: ReceiveCall, topic: TopicRow): TurnOrder {
    const { type, queues } = topic.config;
    const view = this.#turns.of(call.group, call.topic, queues);
    if (type === 'LITE') {
      const { clientId } = call.request;
      const { tables } = this.#options;
      return { turns: readyLiteTurns(tables, view, call.topic, call.group, clientId), first: 0 };
    }
    if (call.queueId !== null) {
      const turn = view.queues[call.queueId];
      return { turns: turn === undefined ? [] : [turn], first: 0 };
    }
    // A message's priority is its queue: what is in a higher one goes first.
    if (type === 'PRIORITY') return { turns: view.queues.toReversed(), first: 0 };
    const first = this.#options.attempts.queueOf(call) ?? view.rotation++ % queues;
    return { turns: view.queues, first };
  }

  #select(call: ReceiveCall, { turn, group }: Omit<Turn, 'selection'>, so: LookSoFar): Selection {
    const { tables, queueIndex, settings } = this.#options;
    return select({
      queueIndex,
      topic: call.topic,
      queueId: turn.queueId,
      group: group.config,
      delivery: tables.delivery(call.group, call.topic, turn.queueId)?.state ?? null,
      scanFrom: turn.scanFrom,
      behind: so.behind,
      filter: turnFilter(call, turn),
      recordAtHand: so.recordAtHand,
      effort: so.effort,
      attemptId: call.request.attemptId,
      countMax: call.request.batchSize - so.messages,
      bytesMax: consumeLimits.receiveFrameSizeBytesMax - so.sizeBytes,
      firstAlways: so.messages === 0,
      openMax: settings.openMessagesMax,
      nowMs: this.#nowMs(),
      preferFresh: turn.turns % 4 === 3,
    });
  }

  async #deliver(members: readonly Member[]): Promise<void> {
    for (const { turns } of members) for (const { turn } of turns) turn.open = null;
    let delivered: readonly boolean[] = [];
    try {
      const calls: LoadedCall[] = [];
      for (const member of members) calls.push(await this.#load(member));
      const some = calls.some(({ turns }) => turns.length > 0);
      if (some && calls.some(({ call }) => !call.settled))
        delivered = await this.#leases.grant(calls);
    } catch (error) {
      if (!isMqError(error))
        this.#options.logger.error(
          { error: String(error) },
          'a delivery failed in an unexpected way',
        );
      for (const { call } of members) call.failed(error);
    }
    for (const { turns } of members) {
      for (const { turn } of turns) {
        turn.busy = false;
        turn.turns++;
      }
    }
    for (let i = 0; i < members.length; i++) {
      const { call } = members[i]!;
      if (delivered[i] !== true) this.#goOn(call);
      call.landed();
    }
    const { topic, group } = members[0]!.call;
    this.#options.polls.wake(topic, group);
  }

  /** The call got nothing: it looks again. */
  #goOn(call: ReceiveCall): void {
    if (call.settled) return;
    // A filter may pass over messages for as long as there are some: what it passed is remembered for the next call.
    if (this.#options.clock.monotonicMs() >= call.workUntilMs) call.timedOut();
    else this.#serve(call);
  }

  /** Gets the records of what a call is to be given, after what has to go to the dead-letter queue. */
  async #load({ call, turns }: Member): Promise<LoadedCall> {
    await this.#moveExhausted(call, turns);
    const records = new TurnRecords(this.#options.log);
    const loaded: LoadedTurn[] = [];
    for (const turn of turns) {
      if (turn.selection.unread.length > 0) await this.#readOn(call, turn, records);
      const { selection } = turn;
      if (selection.exhausted.length > 0 || !hasWork(selection)) continue;
      loaded.push({
        ...turn,
        loaded: await records.load(selection, call.request.filter, this.#mayLeave(turn)),
      });
    }
    return { call, turns: loaded };
  }

  /** Reads messages from disk that a filter has to look into, until it finds some, all are read, or it was enough. */
  async #readOn(call: ReceiveCall, turn: Turn, records: TurnRecords): Promise<void> {
    for (let round = 0; round < READ_ROUNDS_MAX; round++) {
      const { unread } = turn.selection;
      if (unread.length === 0 || hasWork(turn.selection) || call.settled) return;
      await records.read(unread);
      const fresh = { effort: new Effort(), messages: 0, sizeBytes: 0, behind: null };
      const so = { ...fresh, recordAtHand: records.atHand };
      turn.selection = this.#select(call, turn, so);
      if (!hasWork(turn.selection))
        turn.turn.scanFrom = Math.max(turn.turn.scanFrom, turn.selection.endOffset);
    }
  }

  async #moveExhausted(call: ReceiveCall, turns: readonly Turn[]): Promise<void> {
    for (const { turn, selection } of turns) {
      if (selection.exhausted.length === 0) continue;
      const from = { group: call.group, topic: call.topic, queueId: turn.queueId };
      await this.#options.deadLetters.move(from, selection.exhausted);
    }
  }

  /** Lite topics with equal hashes are told apart by their names; what has outlived its time stays. */
  #mayLeave({ turn, topic }: Turn): (record: Buffer) => boolean {
    const { tables, probe } = this.#options;
    const nowMs = this.#nowMs();
    const isFresh = (record: Buffer): boolean =>
      !isExpired(record, topic.config.name, nowMs, probe);
    if (!isLiteQueueId(turn.queueId)) return isFresh;
    const lite = tables.lite.byId(topic.config.name, turn.queueId);
    return (record) =>
      lite !== undefined && storedLiteTopic(record) === lite.name && isFresh(record);
  }

  /** Unix milliseconds, never before what is stored. */
  #nowMs(): number {
    return Math.max(this.#options.clock.wallMs(), this.#options.lastStoreTimestampMs());
  }
}

/** The index has no tags of lite topics: records are asked instead. */
function turnFilter(call: ReceiveCall, turn: QueueTurn): MessageFilter {
  const { filter } = call.request;
  if (filter.tagHashes === null || !isLiteQueueId(turn.queueId)) return filter;
  return { ...filter, tagHashes: null };
}

/** Whether a call that goes with `own`, if with any, can go with this convoy. */
function admits(convoy: Convoy, own: Convoy | null): boolean {
  return (own === null || own === convoy) && convoy.calls < CONVOY_CALLS_MAX;
}

function goneError(call: ReceiveCall, topic: boolean): MqError {
  return topic
    ? new MqError('TOPIC_NOT_FOUND', `topic ${call.topic} does not exist`)
    : groupGone(call.group);
}

function limitError(call: ReceiveCall, openMax: number): MqError {
  return new MqError(
    'TOO_MANY_REQUESTS',
    `group ${call.group} holds ${openMax} messages of a queue of topic ${call.topic} without an ack, which is the limit; ` +
      'acknowledge some, or wait until they become due',
  );
}
