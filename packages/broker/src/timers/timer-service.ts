import { errorText, MqError, type CancelTimer, type Clock, type Logger } from '@raftmq/base';
import {
  prepareStoredMessage,
  propertyName,
  storedQueueOffset,
  storedTopic,
  type StoredHost,
} from '@raftmq/protocol';
import { type RejectReason } from '@raftmq/raft';
import { type TimedPublishMessage, type TimedSendResult } from '../messaging.js';
import { type NextOffsets } from '../messaging-service/next-offsets.js';
import { sendSizeBytes } from '../messaging-service/send-size.js';
import { type Proposer, type RecordsProposer } from '../messaging-service/proposals.js';
import { type Tables, type TopicRow } from '../state/tables.js';
import { type TimerNews } from '../state/timers-row.js';
import { countFired, createTimerProbe, type TimerProbe } from './probe.js';
import { Recalls } from './recalls.js';
import { type TimerSettings } from './settings.js';
import {
  TimedOnce,
  type OpenPut,
  type TimedCall,
  type TimedOnceOptions,
  type TimedPlace,
} from './timed-once.js';
import { type WaitingTimer } from './timer-heap.js';
import {
  FireProposal,
  PutTimersProposal,
  type FiredMessage,
  type TimedMessage,
} from './timer-proposals.js';
import { TimerWindow } from './timer-window.js';

export interface TimerServiceOptions extends Omit<TimedOnceOptions, 'put'> {
  readonly tables: Tables;
  readonly proposer: Proposer;
  readonly records: RecordsProposer;
  readonly offsets: NextOffsets;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly settings: Omit<TimerSettings, 'timerDelayMaxMs' | 'messageDelayLevel'>;
  readonly brokerGroup: string;
  readonly storeHost: StoredHost;
  /** Of the last entry applied: the log's clock, which never goes back. */
  readonly lastStoreTimestampMs: () => number;
}

/** Messages and bytes of one proposal of due timers. */
const BATCH_COUNT_MAX = 1_024;
const BATCH_BYTES_MAX = 512 * 1024;
/** No more is proposed while this much is on its way. */
const FLYING_COUNT_MAX = 8 * BATCH_COUNT_MAX;
const FLYING_BYTES_MAX = 4 * BATCH_BYTES_MAX;
/** The wall clock may jump: it is looked at this often while anything waits. */
const SLEEP_MS_MAX = 1_000;
const RETRY_MS = 100;
const LOAD_RETRY_MS = 1_000;

/** Timers of one proposal. */
interface Flight {
  readonly timers: readonly WaitingTimer[];
  readonly sizeBytes: number;
  /** Timers that have not ended so far. */
  left: number;
}

/**
 * Messages that wait for their delivery time. While this replica leads, it holds those due next in memory, and fires
 * them when the wall clock has reached their time: many in one proposal when many are due at once.
 *
 * A timer is claimed by the one who fires or recalls it, and stays so until the log says that it is over, or the
 * proposal is known to have failed, or the leadership ends: so it ends once.
 */
export class TimerService {
  readonly probe: TimerProbe = createTimerProbe();
  readonly #options: TimerServiceOptions;
  readonly #window: TimerWindow;
  readonly #recalls: Recalls;
  readonly #once: TimedOnce;
  /** Next queue of the round robin, by topic. */
  readonly #rotation = new Map<string, number>();
  /** By timer id. */
  readonly #flights = new Map<number, Flight>();
  #flyingBytes = 0;
  /** Messages proposed to wait, not yet counted by the state. */
  #putting = 0;
  #leading = false;
  /** Tells one reign from the next. */
  #reign = 0;
  #retryAtMs = 0;
  #loadAgainAtMs = 0;
  #armedForMs = Infinity;
  #cancel: CancelTimer = () => undefined;

  constructor(options: TimerServiceOptions) {
    this.#options = options;
    const { tables, settings } = options;
    this.#window = new TimerWindow({
      cold: tables.cold,
      timers: tables.timers,
      countMax: settings.timersLoadedMax,
      bytesMax: settings.timersLoadedBytesMax,
    });
    this.#once = new TimedOnce({ ...options, put: (call) => this.#put(call) });
    this.#recalls = new Recalls({
      tables,
      window: this.#window,
      records: options.records,
      probe: this.probe,
      recallEnable: settings.recallEnable,
      brokerGroup: options.brokerGroup,
      released: () => this.#look(),
    });
  }

  /** Timers in memory: a gauge. */
  get loaded(): number {
    return this.#window.size;
  }

  /** Bytes of their messages: a gauge. */
  get loadedBytes(): number {
    return this.#window.bytes;
  }

  /** This replica leads from now on: everything committed before is applied. */
  start(): void {
    this.stop();
    this.#once.reset();
    this.#leading = true;
    this.#look();
  }

  stop(): void {
    this.#leading = false;
    this.#reign++;
    this.#disarm();
    this.#window.reset();
    this.#recalls.reset();
    this.#flights.clear();
    this.#flyingBytes = 0;
    this.#retryAtMs = 0;
  }

  /** From the state machine. Proposes nothing by itself: that happens when the driver is done with its own work. */
  applied(news: TimerNews): void {
    if (!this.#leading) return;
    for (const timer of news.put) this.#window.put(timer);
    for (const id of news.over) this.#over(id);
    if (news.over.length > 0 || this.#nextLookMs() < this.#armedForMs) this.#look();
  }

  forgetTopic(topic: string): void {
    this.#rotation.delete(topic);
  }

  /**
   * Stores messages of one call, each to be delivered at its time. Due ones go to `queueId` at once.
   * @throws MqError TOO_MANY_REQUESTS when too many messages wait, else as the proposal
   */
  async send(
    topic: TopicRow,
    messages: readonly TimedPublishMessage[],
    queueId: number,
  ): Promise<readonly TimedSendResult[]> {
    // By the wall clock more would be due already, but that one may go back before the entry is sealed.
    const nowMs = this.#options.lastStoreTimestampMs();
    const { name } = topic.config;
    const timed = messages.map((message) => this.#prepare(name, message, nowMs));
    sendSizeBytes(timed.map(({ prepared }) => prepared));
    const call = { topic, queueId, messages, timed };
    const places = await this.#once.send(call, (waiting) => this.#checkRoom(waiting));
    return places.map((place, i) => this.#sent(name, messages[i]!, place));
  }

  #put({ timed, queueId }: TimedCall): OpenPut {
    const { proposer, offsets } = this.#options;
    const waiting = timed.reduce((sum, { dueMs }) => sum + (dueMs === null ? 0 : 1), 0);
    this.#putting += waiting;
    let proposal!: PutTimersProposal;
    const results = new Promise<readonly number[]>((resolve, reject) => {
      proposal = new PutTimersProposal(
        timed,
        queueId,
        offsets,
        (ids) => {
          this.#putting -= waiting;
          this.probe.put += waiting;
          resolve(ids);
        },
        (error) => {
          this.#putting -= waiting;
          reject(error);
        },
      );
      proposer.propose(proposal);
    });
    return { proposal, results };
  }

  /**
   * Takes a waiting message back.
   * @returns its message id
   * @throws MqError RECALL_FAILED when the handle is none, or the message is not waiting any more
   */
  async recall(topic: string, handle: string): Promise<string> {
    return this.#recalls.recallBy(topic, handle);
  }

  #prepare(topic: string, message: TimedPublishMessage, nowMs: number): TimedMessage {
    const { deliveryTimestampMs } = message;
    const { storeHost } = this.#options;
    if (deliveryTimestampMs === null) {
      return { prepared: prepareStoredMessage(message, topic, { storeHost }), dueMs: null };
    }
    const brokerProperties = [propertyName.TIMER_DELIVER_MS, String(deliveryTimestampMs)];
    const prepared = prepareStoredMessage(message, topic, { storeHost, brokerProperties });
    return { prepared, dueMs: deliveryTimestampMs > nowMs ? deliveryTimestampMs : null };
  }

  #checkRoom(waiting: number): void {
    const { tables, settings } = this.#options;
    const pending = tables.timers.pending + this.#putting;
    if (waiting === 0 || pending + waiting <= settings.timersMax) return;
    this.probe.refused += waiting;
    throw new MqError(
      'TOO_MANY_REQUESTS',
      `${pending} messages wait for their delivery time in this broker group, the limit is ${settings.timersMax} (setting timersMax); send again when some were delivered`,
    );
  }

  #sent(
    topic: string,
    { messageId }: TimedPublishMessage,
    { dueMs, result, isNew }: TimedPlace,
  ): TimedSendResult {
    if (dueMs === null) return { queueOffset: result!, recallHandle: '', isNew };
    const recallHandle =
      result === null ? '' : this.#recalls.handle(topic, { dueMs, timerId: result, messageId });
    return { queueOffset: 0, recallHandle, isNew };
  }

  /** Looks for due timers once the running calls are over. */
  #look(): void {
    if (!this.#leading || this.#armedForMs === -Infinity) return;
    this.#disarm();
    this.#armedForMs = -Infinity;
    const reign = this.#reign;
    queueMicrotask(() => {
      if (reign !== this.#reign) return;
      this.#armedForMs = Infinity;
      this.#fireDue();
    });
  }

  #fireDue(): void {
    const { clock } = this.#options;
    const nowMs = clock.wallMs();
    while (this.#mayFire()) {
      const timers = this.#claimBatch(nowMs);
      if (timers.length === 0) break;
      this.#fire(timers);
    }
    this.#load(nowMs);
    this.#arm();
  }

  #mayFire(): boolean {
    return (
      this.#leading && this.#roomInFlight() && this.#options.clock.monotonicMs() >= this.#retryAtMs
    );
  }

  #roomInFlight(): boolean {
    return this.#flights.size < FLYING_COUNT_MAX && this.#flyingBytes < FLYING_BYTES_MAX;
  }

  #claimBatch(nowMs: number): readonly WaitingTimer[] {
    const timers: WaitingTimer[] = [];
    let sizeBytes = 0;
    while (timers.length < BATCH_COUNT_MAX && sizeBytes < BATCH_BYTES_MAX) {
      const timer = this.#window.claimDue(nowMs);
      if (timer === null) break;
      timers.push(timer);
      sizeBytes += timer.record.length;
    }
    return timers;
  }

  #fire(timers: readonly WaitingTimer[]): void {
    const { proposer, offsets, clock } = this.#options;
    const messages: FiredMessage[] = [];
    const dues: number[] = [];
    for (const { dueMs, record } of timers) {
      const topic = this.#topicOf(record);
      if (topic === null) continue;
      messages.push({ topic: topic.config.name, queueId: this.#turn(topic), record });
      dues.push(dueMs);
    }
    const dropped = timers.length - messages.length;
    const sizeBytes = timers.reduce((sum, { record }) => sum + record.length, 0);
    const flight: Flight = { timers, sizeBytes, left: timers.length };
    for (const { id } of timers) this.#flights.set(id, flight);
    this.#flyingBytes += sizeBytes;
    const reign = this.#reign;
    const outcome = {
      fired: (results: readonly unknown[]): void => {
        const nowMs = clock.wallMs();
        this.probe.dropped += dropped;
        for (let i = 0; i < results.length; i++) {
          if (typeof results[i] !== 'number') this.probe.dropped++;
          else countFired(this.probe, Math.max(0, nowMs - dues[i]!));
        }
      },
      early: (): void => {
        this.probe.early++;
        if (reign === this.#reign) this.#giveBack(flight);
      },
      // Nobody knows of an unknown one: it stays claimed until the log, or the end of the reign, tells.
      rejected: (reason: RejectReason): void => {
        if (reign !== this.#reign || reason === 'unknown') return;
        this.#retryAtMs = clock.monotonicMs() + RETRY_MS;
        this.#giveBack(flight);
      },
    };
    proposer.propose(new FireProposal(messages, timers, offsets, outcome));
  }

  /** null when the topic of the message was deleted, even if there is one of the same name again. */
  #topicOf(record: Buffer): TopicRow | null {
    const topic = this.#options.tables.topics.get(storedTopic(record));
    return topic?.epoch === storedQueueOffset(record) ? topic : null;
  }

  #turn(topic: TopicRow): number {
    const { name, queues } = topic.config;
    const turn = this.#rotation.get(name) ?? 0;
    this.#rotation.set(name, turn + 1);
    return turn % queues;
  }

  #giveBack(flight: Flight): void {
    for (const timer of flight.timers) {
      this.#flights.delete(timer.id);
      this.#window.release(timer);
    }
    this.#flyingBytes -= flight.sizeBytes;
    this.#look();
  }

  #over(id: number): void {
    this.#window.over(id);
    const flight = this.#flights.get(id);
    if (flight === undefined) return;
    this.#flights.delete(id);
    if (--flight.left === 0) this.#flyingBytes -= flight.sizeBytes;
  }

  #load(nowMs: number): void {
    const { clock, logger } = this.#options;
    if (clock.monotonicMs() < this.#loadAgainAtMs) return;
    const loaded = this.#window.cover(nowMs);
    if (loaded === null) return;
    this.probe.loads++;
    loaded.then(
      () => this.#look(),
      (error: unknown) => {
        logger.error({ error: errorText(error) }, 'waiting messages could not be read');
        this.#loadAgainAtMs = clock.monotonicMs() + LOAD_RETRY_MS;
        clock.setTimer(LOAD_RETRY_MS, () => this.#look());
      },
    );
  }

  /** When there is something to do next, wall clock; Infinity when only an event can bring it. */
  #nextLookMs(): number {
    const dueMs = this.#roomInFlight() ? this.#window.nextDueMs : Infinity;
    return Math.min(dueMs, this.#window.nextLoadMs);
  }

  #arm(): void {
    if (!this.#leading || this.#armedForMs === -Infinity) return;
    const { clock } = this.#options;
    const nextMs = this.#nextLookMs();
    if (nextMs === Infinity) return;
    const retryMs = Math.max(this.#retryAtMs, this.#loadAgainAtMs) - clock.monotonicMs();
    const waitMs = Math.max(nextMs - clock.wallMs(), 1, Math.min(retryMs, RETRY_MS));
    this.#disarm();
    this.#armedForMs = nextMs;
    this.#cancel = clock.setTimer(Math.min(Math.ceil(waitMs), SLEEP_MS_MAX), () => {
      this.#armedForMs = Infinity;
      this.#fireDue();
    });
  }

  #disarm(): void {
    this.#cancel();
    this.#cancel = () => undefined;
    this.#armedForMs = Infinity;
  }
}
