import { errorText, isMqError, type CancelTimer, type Clock, type Logger } from '@raftmq/base';
import {
  decodeStoredMessage,
  encodeRecoverOrphanedTransaction,
  PARKED_TRANSACTIONS_TOPIC,
  prepareStoredMessage,
  propertyName,
  type PreparedMessage,
  type StoredHost,
} from '@raftmq/protocol';
import { Alarm } from '../../longpoll/alarm.js';
import { halfKey, type HalfRow } from '../../state/half-table.js';
import { type Tables } from '../../state/tables.js';
import { type RecordsProposer } from '../proposals.js';
import { type Decisions } from './decisions.js';
import { type TransactionProbe } from './probe.js';
import { noProducers, type ProducerLink, type ReachableProducer } from './producers.js';
import { type TransactionSettings } from './settings.js';

export interface CheckerOptions {
  readonly tables: Tables;
  readonly proposer: RecordsProposer;
  readonly decisions: Decisions;
  readonly clock: Clock;
  /** Store timestamp of the last applied entry. */
  readonly lastStoreTimestampMs: () => number;
  readonly logger: Logger;
  readonly settings: TransactionSettings;
  readonly probe: TransactionProbe;
  readonly storeHost: StoredHost;
}

/** Checks and parkings under way at once: a burst of due ones must not fill memory with messages. */
const ACTIVE_MAX = 32;
/** Checks counted by one command. */
const COUNTED_MAX = 1_000;
/** After something that may be better in a moment: no producer, a decision on its way, a refused proposal. */
const RETRY_MS = 1_000;
const READ_WRITE = 6;

/** Who may be asked about a topic's transactions, as of some moment; and who waits for there to be anyone. */
interface TopicProducers {
  list: readonly ReachableProducer[];
  foundAtMs: number;
  finding: Promise<void> | null;
  /** Due, and nobody to ask. */
  readonly waiting: Set<HalfRow>;
  cancelRetry: CancelTimer | null;
}

/**
 * Asks producers about half messages that nobody decided, on the leader: each at its own time, one producer a time. The
 * first question goes to the client that sent the message, if it lives; later ones go round all producers of the topic.
 * Only questions that were written to a stream count. When all are used up the message is parked.
 *
 * A row that is due is in exactly one place: the alarm, the list of due ones, under way, waiting for a producer, or
 * waiting to be counted; applying the count puts it back into the alarm. One that is being parked without an answer is in
 * none: the log, or the end of the reign, tells.
 */
export class OrphanChecker {
  readonly #options: CheckerOptions;
  readonly #alarm: Alarm<HalfRow>;
  #producers: ProducerLink = noProducers;
  #due: HalfRow[] = [];
  #nextDue = 0;
  #active = 0;
  readonly #topics = new Map<string, TopicProducers>();
  #turn = 0;
  #sent: HalfRow[] = [];
  #counting = false;
  /** Parkings without an answer that the log may still hold: another one would make a second copy. */
  readonly #inDoubt = new Set<HalfRow>();
  #leading = false;
  /** Tells the work of this leadership from that of an earlier one. */
  #reign = 0;

  constructor(options: CheckerOptions) {
    this.#options = options;
    this.#alarm = new Alarm(options.clock, (row) => this.#isDue(row));
  }

  /** Where producers are reached; set once the front door is open. */
  connect(producers: ProducerLink): void {
    this.#producers = producers;
  }

  /** This replica leads: all open transactions are its to ask about. */
  start(): void {
    this.stop();
    this.#leading = true;
    for (const row of this.#options.tables.halves.rows()) this.changed(row);
  }

  stop(): void {
    this.#leading = false;
    this.#reign++;
    this.#active = 0;
    this.#alarm.stop();
    this.#due = [];
    this.#nextDue = 0;
    this.#sent = [];
    this.#counting = false;
    this.#inDoubt.clear();
    for (const topic of this.#topics.values()) topic.cancelRetry?.();
    this.#topics.clear();
  }

  /** From the state machine: the row came, changed or went. */
  changed(row: HalfRow): void {
    if (!this.#leading) return;
    if (row.removed || row.parked) {
      this.#inDoubt.delete(row);
      return this.#alarm.clear(row);
    }
    this.#setIn(row, row.nextCheckMs - this.#logTimeMs());
  }

  /** The log's time stands still while the wall clock is behind it; times of rows are of the log. */
  #logTimeMs(): number {
    const { clock, lastStoreTimestampMs } = this.#options;
    return Math.max(clock.wallMs(), lastStoreTimestampMs());
  }

  #setIn(row: HalfRow, delayMs: number): void {
    this.#alarm.set(row, this.#options.clock.monotonicMs() + Math.max(0, delayMs));
  }

  #isDue(row: HalfRow): void {
    this.#due.push(row);
    this.#pump();
  }

  #pump(): void {
    while (this.#active < ACTIVE_MAX && this.#nextDue < this.#due.length) {
      const row = this.#due[this.#nextDue++]!;
      this.#active++;
      void this.#handle(row, this.#reign);
    }
    if (this.#nextDue < this.#due.length) return;
    this.#due = [];
    this.#nextDue = 0;
  }

  async #handle(row: HalfRow, reign: number): Promise<void> {
    try {
      await this.#checkOrPark(row, reign);
    } catch (error) {
      if (reign !== this.#reign) return;
      if (!isMqError(error)) {
        const { topic, messageId } = row;
        this.#options.logger.error(
          { topic, messageId, error: errorText(error) },
          'transaction could not be checked',
        );
      }
      // A proposal that may still be applied must not be made a second time soon.
      const unknown = isMqError(error) && error.code === 'REQUEST_TIMEOUT';
      this.#again(row, unknown ? this.#options.settings.transactionCheckIntervalMs : RETRY_MS);
    }
    if (reign !== this.#reign) return;
    this.#active--;
    this.#pump();
  }

  #again(row: HalfRow, delayMs: number): void {
    const isOver = row.removed || row.parked || this.#inDoubt.has(row);
    if (!isOver && row.heapIndex < 0) this.#setIn(row, delayMs);
  }

  async #checkOrPark(row: HalfRow, reign: number): Promise<void> {
    const { settings, decisions, tables } = this.#options;
    if (row.removed || row.parked || this.#inDoubt.has(row)) return;
    if (decisions.runningFor(row)) return this.#again(row, RETRY_MS);
    if (row.checks >= settings.transactionCheckMax) return this.#park(row);
    const topic = await this.#find(row.topic);
    if (reign !== this.#reign || row.removed) return;
    if (topic.list.length === 0) return this.#wait(row, topic);
    const message = await tables.cold.get(halfKey(row.number));
    if (reign !== this.#reign || row.removed || message === null) return;
    const recoveryMs = row.recoveryMs === 0 ? null : row.recoveryMs;
    const command = encodeRecoverOrphanedTransaction(message, row.messageId, recoveryMs);
    while (topic.list.length > 0) {
      if (decisions.runningFor(row)) return this.#again(row, RETRY_MS);
      const producer = this.#choose(row, topic.list);
      const written = await this.#producers.hand(producer, command);
      if (reign !== this.#reign) return;
      if (written) return this.#count(row);
      topic.list = topic.list.filter((other) => other !== producer);
      if (row.removed) return;
    }
    this.#wait(row, topic);
  }

  #choose(row: HalfRow, producers: readonly ReachableProducer[]): ReachableProducer {
    const own = row.checks === 0 ? producers.find((p) => p.clientId === row.clientId) : undefined;
    return own ?? producers[this.#turn++ % producers.length]!;
  }

  /** Producers of a topic, looked up at most once a second. */
  async #find(name: string): Promise<TopicProducers> {
    const nowMs = this.#options.clock.monotonicMs();
    let topic = this.#topics.get(name);
    if (topic === undefined) {
      topic = {
        list: [],
        foundAtMs: -Infinity,
        finding: null,
        waiting: new Set(),
        cancelRetry: null,
      };
      this.#topics.set(name, topic);
    }
    if (nowMs - topic.foundAtMs < RETRY_MS) return topic;
    const entry = topic;
    entry.finding ??= this.#producers
      .find(name)
      .then((list) => {
        entry.list = list;
        entry.foundAtMs = this.#options.clock.monotonicMs();
      })
      .finally(() => (entry.finding = null));
    await entry.finding;
    return entry;
  }

  /** Nobody to ask: looks again in a second, for all rows of the topic together. */
  #wait(row: HalfRow, topic: TopicProducers): void {
    this.#options.probe.checksWithoutProducer++;
    topic.waiting.add(row);
    topic.cancelRetry ??= this.#options.clock.setTimer(RETRY_MS, () => {
      topic.cancelRetry = null;
      const { waiting } = topic;
      const rows = [...waiting].filter((other) => !other.removed && !other.parked);
      waiting.clear();
      // One goes ahead; when it finds a producer the others follow, when not it comes back here with them.
      const [first, ...others] = rows;
      if (first === undefined) {
        this.#topics.delete(row.topic);
        return;
      }
      void this.#retry(topic, first, others, this.#reign);
    });
  }

  async #retry(
    topic: TopicProducers,
    first: HalfRow,
    others: readonly HalfRow[],
    reign: number,
  ): Promise<void> {
    await this.#find(first.topic).catch(() => undefined);
    if (reign !== this.#reign) return;
    if (topic.list.length === 0) {
      for (const other of others) topic.waiting.add(other);
      return this.#wait(first, topic);
    }
    this.#due.push(first, ...others);
    this.#pump();
  }

  /** Counts a question that was written; those of one turn together, one command at a time. */
  #count(row: HalfRow): void {
    this.#options.probe.checksSent++;
    this.#sent.push(row);
    if (this.#counting) return;
    this.#counting = true;
    const reign = this.#reign;
    queueMicrotask(() => void this.#proposeCounts(reign));
  }

  async #proposeCounts(reign: number): Promise<void> {
    const { proposer, settings } = this.#options;
    const nextCheckAfterMs = settings.transactionCheckIntervalMs;
    while (reign === this.#reign && this.#sent.length > 0) {
      const rows = this.#sent.splice(0, COUNTED_MAX);
      const checks = rows.map((row) => ({ number: row.number, checksBefore: row.checks }));
      try {
        await proposer.command({ kind: 'count-checks', nextCheckAfterMs, checks });
      } catch {
        // Not counted, or not known to be: the next question comes at its time all the same.
        if (reign !== this.#reign) return;
        for (const row of rows) this.#again(row, nextCheckAfterMs);
      }
    }
    if (reign === this.#reign) this.#counting = false;
  }

  /** One entry: the copy that operators can read, its topic when it is missing, and the row's new state. */
  async #park(row: HalfRow): Promise<void> {
    const { tables, proposer, settings, probe, logger } = this.#options;
    const record = await tables.cold.get(halfKey(row.number));
    if (record === null || row.removed) return;
    const topic = {
      name: PARKED_TRANSACTIONS_TOPIC,
      type: 'MIXED',
      queues: 1,
      permission: READ_WRITE,
    } as const;
    const parkedMax = settings.transactionParkedMax;
    const reign = this.#reign;
    const proposed = proposer.propose([
      { command: { kind: 'put-topic', ifMissing: true, topic } },
      { message: this.#parkedCopy(record, row), queueId: 0 },
      { command: { kind: 'park-half', number: row.number, parkedMax } },
    ]);
    const results = await proposed.catch((error: unknown) => {
      const unknown = isMqError(error) && error.code === 'REQUEST_TIMEOUT';
      if (unknown && reign === this.#reign) this.#inDoubt.add(row);
      throw error;
    });
    probe.parked++;
    const discarded = results[2] as number;
    probe.discarded += discarded;
    const { messageId, checks } = row;
    logger.warn(
      { topic: row.topic, messageId, checks, discarded },
      'no producer decided about a transaction: parked; see "raftmq transaction list --state parked"',
    );
  }

  #parkedCopy(record: Buffer, row: HalfRow): PreparedMessage {
    const { storeHost } = this.#options;
    const message = decodeStoredMessage(record);
    const options = { storeHost, brokerProperties: [propertyName.REAL_TOPIC, row.topic] };
    try {
      return prepareStoredMessage(message, PARKED_TRANSACTIONS_TOPIC, options);
    } catch (error) {
      if (!isMqError(error) || error.code !== 'MESSAGE_PROPERTIES_TOO_LARGE') throw error;
      // The message itself stays whole beside this copy.
      const bare = { ...message, userProperties: [] };
      return prepareStoredMessage(bare, PARKED_TRANSACTIONS_TOPIC, options);
    }
  }
}
