import { assert, isMqError, MqError, type Clock, type Logger } from '@raftmq/base';
import {
  encodeStoredMessage,
  prepareStoredMessage,
  propertyName,
  sysFlag,
  transactionSource,
  type PreparedMessage,
  type StoredHost,
} from '@raftmq/protocol';
import {
  type HalfPublish,
  type TopicConfig,
  type TransactionFilter,
  type TransactionMessaging,
  type TransactionState,
  type TransactionStatus,
} from '../../messaging.js';
import { type PutHalfResult } from '../../state/commands/index.js';
import {
  decodeOutcome,
  halfKey,
  outcomeCode,
  outcomeKey,
  outcomeKeyPrefix,
  type HalfRow,
  type TransactionOutcome,
} from '../../state/half-table.js';
import { type Tables } from '../../state/tables.js';
import { type ProposedRecord, type RecordsProposer } from '../proposals.js';
import { sendSizeBytes } from '../send-size.js';
import { OrphanChecker } from './checker.js';
import { Decisions } from './decisions.js';
import { OutcomeKeeper } from './outcome-keeper.js';
import { createTransactionProbe, type TransactionProbe } from './probe.js';
import { type ProducerLink } from './producers.js';
import { type TransactionSettings } from './settings.js';

export interface TransactionsOptions {
  readonly tables: Tables;
  readonly proposer: RecordsProposer;
  readonly clock: Clock;
  /** Store timestamp of the last applied entry. */
  readonly lastStoreTimestampMs: () => number;
  readonly logger: Logger;
  readonly settings: TransactionSettings;
  readonly storeHost: StoredHost;
  /** The queue that a message of this message group goes to next. */
  readonly queueFor: (topic: TopicConfig, messageGroup: string | null) => number;
  /** null while this replica leads; else what calls are told. */
  readonly refusal: () => MqError | null;
}

const OUTCOMES_PER_ID_MAX = 100;
/** Transactions resumed by one command. */
const RESUME_MAX = 1_000;

/** Transactional messages on the leader: half messages, decisions, questions to producers. */
export class Transactions implements TransactionMessaging {
  readonly probe: TransactionProbe = createTransactionProbe();
  readonly #options: TransactionsOptions;
  readonly #decisions: Decisions;
  readonly #checker: OrphanChecker;
  readonly #outcomes: OutcomeKeeper;
  /** Half messages that were proposed and are not applied yet. */
  #arriving = 0;

  constructor(options: TransactionsOptions) {
    this.#options = options;
    const { probe } = this;
    this.#decisions = new Decisions({ ...options, probe });
    this.#checker = new OrphanChecker({ ...options, probe, decisions: this.#decisions });
    this.#outcomes = new OutcomeKeeper(options);
  }

  /** Where producers are reached. */
  connect(producers: ProducerLink): void {
    this.#checker.connect(producers);
  }

  /** This replica begins to lead. */
  start(): void {
    this.#decisions.reset();
    this.#checker.start();
    this.#outcomes.start();
  }

  stop(): void {
    this.#checker.stop();
    this.#outcomes.stop();
  }

  /** From the state machine. */
  applied(rows: readonly HalfRow[]): void {
    for (const row of rows) {
      if (row.removed) this.#decisions.removed(row);
      this.#checker.changed(row);
    }
  }

  async send(
    topic: TopicConfig,
    messages: readonly HalfPublish[],
    clientId: string,
  ): Promise<readonly number[]> {
    this.#needLeader();
    assert(messages.length > 0, 'a send call has messages');
    const { tables } = this.#options;
    const numbers = new Array<number>(messages.length).fill(0);
    const keys = messages.map((message) => outcomeKey(topic.name, message.messageId));
    let stored: Promise<void> = Promise.resolve();
    // What is decided must not begin anew when its send is repeated: looked up and proposed in one turn.
    await tables.cold.getNow(keys, (rows) => {
      const places: number[] = [];
      for (let i = 0; i < messages.length; i++) {
        const known = tables.halves.find(topic.name, messages[i]!.messageId);
        if (known !== undefined) numbers[i] = known.number;
        else if (rows[i] === null) places.push(i);
      }
      this.probe.halvesRepeated += messages.length - places.length;
      if (places.length > 0) stored = this.#store(topic, messages, places, clientId, numbers);
    });
    await stored;
    return numbers;
  }

  async end(
    topic: string,
    transactionId: string,
    commit: boolean,
    source: number,
  ): Promise<number> {
    return this.#decisions.end(topic, transactionId, commit, source);
  }

  async find(transactionId: string): Promise<readonly TransactionStatus[]> {
    this.#needLeader();
    const { cold, halves } = this.#options.tables;
    const prefix = outcomeKeyPrefix(transactionId);
    const over = await cold.range(prefix, `${prefix}~`, OUTCOMES_PER_ID_MAX);
    const found = over.map(({ value }) => statusOfOutcome(decodeOutcome(value)));
    for (const row of halves.rows()) {
      if (row.messageId === transactionId) found.push(statusOfRow(row));
    }
    return found;
  }

  message(topic: string, transactionId: string): Promise<Buffer | null> {
    this.#needLeader();
    const { cold, halves } = this.#options.tables;
    const row = halves.find(topic, transactionId);
    return row === undefined ? Promise.resolve(null) : cold.get(halfKey(row.number));
  }

  list(filter: TransactionFilter): readonly TransactionStatus[] {
    this.#needLeader();
    const found: TransactionStatus[] = [];
    for (const row of this.#options.tables.halves.rows()) {
      if (filter.topic !== null && row.topic !== filter.topic) continue;
      if (filter.state !== null && row.parked !== (filter.state === 'parked')) continue;
      if (found.length >= filter.countMax) break;
      found.push(statusOfRow(row));
    }
    return found;
  }

  async resume(topic: string | null, transactionId: string | null): Promise<number> {
    this.#needLeader();
    const { tables, proposer, settings } = this.#options;
    const numbers: number[] = [];
    for (const row of tables.halves.rows()) {
      if (!row.parked) continue;
      if (topic !== null && row.topic !== topic) continue;
      if (transactionId === null || row.messageId === transactionId) numbers.push(row.number);
    }
    const room = settings.transactionPendingMax - tables.halves.pendingCount - this.#arriving;
    if (numbers.length > 0 && room <= 0) throw this.#tooMany();
    let resumed = 0;
    for (let at = 0; at < Math.min(numbers.length, room); at += RESUME_MAX) {
      const some = numbers.slice(at, Math.min(at + RESUME_MAX, room));
      resumed += (await proposer.command({
        kind: 'resume-halves',
        firstCheckAfterMs: 0,
        numbers: some,
      })) as number;
    }
    this.probe.resumed += resumed;
    return resumed;
  }

  /** Half messages without a decision, by topic: a gauge. */
  pendingByTopic(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const { topic, parked } of this.#options.tables.halves.rows()) {
      if (!parked) counts.set(topic, (counts.get(topic) ?? 0) + 1);
    }
    return counts;
  }

  get parkedCount(): number {
    return this.#options.tables.halves.parkedCount;
  }

  /** @param places of the messages to store; their numbers are filled in */
  async #store(
    topic: TopicConfig,
    messages: readonly HalfPublish[],
    places: readonly number[],
    clientId: string,
    numbers: number[],
  ): Promise<void> {
    const { tables, proposer, settings } = this.#options;
    this.#needLeader();
    const open = tables.halves.pendingCount + this.#arriving;
    if (open + places.length > settings.transactionPendingMax) {
      this.probe.halvesRefused += places.length;
      throw this.#tooMany();
    }
    const prepared = places.map((i) => this.#prepare(topic.name, messages[i]!));
    sendSizeBytes(prepared);
    const records = prepared.map((half, k) => this.#putHalf(half, messages[places[k]!]!, clientId));
    this.#arriving += places.length;
    let results: readonly unknown[];
    try {
      results = await proposer.propose(records);
    } finally {
      this.#arriving -= places.length;
    }
    for (let k = 0; k < places.length; k++) {
      const result = results[k] as PutHalfResult | MqError;
      if (isMqError(result)) throw result;
      numbers[places[k]!] = result.number;
      if (result.again) this.probe.halvesRepeated++;
      else this.probe.halvesStored++;
    }
  }

  #prepare(topic: string, message: HalfPublish): PreparedMessage {
    const { storeHost } = this.#options;
    const brokerProperties = [propertyName.TRANSACTION_PREPARED, 'true'];
    brokerProperties.push(propertyName.TRANSACTION_ID, message.messageId);
    return prepareStoredMessage(withoutTransactionId(message), topic, {
      storeHost,
      brokerProperties,
      sysFlag: sysFlag.TRANSACTION_PREPARED,
    });
  }

  #putHalf(prepared: PreparedMessage, message: HalfPublish, clientId: string): ProposedRecord {
    const { settings } = this.#options;
    // A duration of nothing asks for nothing.
    const recoveryMs = message.transactionRecoveryMs ?? 0;
    return {
      command: {
        kind: 'put-half',
        clientId,
        recoveryMs,
        firstCheckAfterMs: recoveryMs > 0 ? recoveryMs : settings.transactionCheckFirstMs,
        message: encodeStoredMessage(prepared),
      },
    };
  }

  #tooMany(): MqError {
    const max = this.#options.settings.transactionPendingMax;
    return new MqError(
      'TOO_MANY_REQUESTS',
      `${max} transactions wait for a decision, which is the limit (setting transactionPendingMax); commit or roll back some, "raftmq transaction list" shows them`,
    );
  }

  #needLeader(): void {
    const refusal = this.#options.refusal();
    if (refusal !== null) throw refusal;
  }
}

/** The broker's own `__transactionId__` wins over a user's. */
function withoutTransactionId(message: HalfPublish): HalfPublish {
  const { userProperties } = message;
  const kept: string[] = [];
  for (let i = 0; i < userProperties.length; i += 2) {
    if (userProperties[i] === propertyName.TRANSACTION_ID) continue;
    kept.push(userProperties[i]!, userProperties[i + 1]!);
  }
  return kept.length === userProperties.length ? message : { ...message, userProperties: kept };
}

function statusOfRow(row: HalfRow): TransactionStatus {
  return {
    transactionId: row.messageId,
    topic: row.topic,
    state: row.parked ? 'parked' : 'pending',
    clientId: row.clientId,
    bodySizeBytes: row.bodySizeBytes,
    storedAtMs: row.storedAtMs,
    checks: row.checks,
    nextCheckAtMs: row.parked ? null : row.nextCheckMs,
    parkedAtMs: row.parked ? row.parkedAtMs : null,
    decidedAtMs: null,
    decidedByCheck: false,
  };
}

const outcomeState: Readonly<Record<number, TransactionState>> = {
  [outcomeCode.COMMITTED]: 'committed',
  [outcomeCode.ROLLED_BACK]: 'rolled-back',
  [outcomeCode.DISCARDED]: 'discarded',
};

function statusOfOutcome(outcome: TransactionOutcome): TransactionStatus {
  return {
    transactionId: outcome.messageId,
    topic: outcome.topic,
    state: outcomeState[outcome.outcome] ?? 'discarded',
    clientId: outcome.clientId,
    bodySizeBytes: outcome.bodySizeBytes,
    storedAtMs: outcome.storedAtMs,
    checks: outcome.checks,
    nextCheckAtMs: null,
    parkedAtMs: null,
    decidedAtMs: outcome.decidedAtMs,
    decidedByCheck: outcome.source === transactionSource.SERVER_CHECK,
  };
}
