import { isMqError, MqError, type Clock } from '@raftmq/base';
import { storedProperty, propertyName, sysFlag, transactionSource } from '@raftmq/protocol';
import { type TopicConfig } from '../../messaging.js';
import { type EndTransactionResult } from '../../state/commands/index.js';
import {
  decodeOutcome,
  halfKey,
  outcomeCode,
  outcomeKey,
  type HalfRow,
  type TransactionOutcome,
} from '../../state/half-table.js';
import { type Tables } from '../../state/tables.js';
import { type ProposedRecord, type RecordsProposer } from '../proposals.js';
import { type TransactionProbe } from './probe.js';

export interface DecisionsOptions {
  readonly tables: Tables;
  readonly proposer: RecordsProposer;
  readonly clock: Clock;
  readonly probe: TransactionProbe;
  /** The queue that a message of this message group goes to next. */
  readonly queueFor: (topic: TopicConfig, messageGroup: string | null) => number;
  /** null while this replica leads; else what calls are told. */
  readonly refusal: () => MqError | null;
}

/** A decision that was proposed and is not applied yet. */
interface Deciding {
  readonly commit: boolean;
  /** Bytes of body that became visible. */
  readonly done: Promise<number>;
  /** The proposal ended without an outcome: it may still be applied, as long as this replica leads. */
  unknown: boolean;
}

/**
 * Ends transactions, each of them once. A commit puts the message and the command that ends the transaction into one
 * entry; a message in the log cannot be taken back, so no second entry of that kind must ever be proposed while the
 * first may still be applied. That is what the map of running decisions is for: an entry leaves it when the decision is
 * known not to have happened, when it is applied, or when this replica begins to lead anew.
 */
export class Decisions {
  readonly #options: DecisionsOptions;
  /** Another map in each reign. */
  #running = new Map<number, Deciding>();

  constructor(options: DecisionsOptions) {
    this.#options = options;
  }

  /** Leadership began: what was proposed before is applied, or will never be. */
  reset(): void {
    this.#running = new Map();
  }

  /** From the state machine: the transaction is over. */
  removed(row: HalfRow): void {
    this.#running.delete(row.number);
  }

  /** Whether a decision is on its way. */
  runningFor(row: HalfRow): boolean {
    return this.#running.has(row.number);
  }

  /** @see TransactionMessaging.end */
  async end(topic: string, id: string, commit: boolean, source: number): Promise<number> {
    for (;;) {
      const refusal = this.#options.refusal();
      if (refusal !== null) throw refusal;
      const row = this.#options.tables.halves.find(topic, id);
      if (row === undefined) return this.#finished(topic, id, commit);
      const first = this.#running.get(row.number);
      if (first === undefined) return this.#decide(row, commit, source).done;
      if (first.unknown) throw stillUnknown(id);
      if (first.commit === commit) {
        await first.done;
        return 0;
      }
      // Whatever comes out, the next round answers by what is then true.
      await first.done.catch(() => undefined);
    }
  }

  /** What is known of a transaction that is over; null when that is nothing. */
  async outcome(topic: string, id: string): Promise<TransactionOutcome | null> {
    const row = await this.#options.tables.cold.get(outcomeKey(topic, id));
    return row === null ? null : decodeOutcome(row);
  }

  async #finished(topic: string, id: string, commit: boolean): Promise<number> {
    const outcome = await this.outcome(topic, id);
    const wanted = commit ? outcomeCode.COMMITTED : outcomeCode.ROLLED_BACK;
    if (outcome?.outcome === wanted) return 0;
    this.#options.probe.decisionsRefused++;
    throw outcome === null ? unknownTransaction(id) : contrary(outcome);
  }

  #decide(row: HalfRow, commit: boolean, source: number): Deciding {
    const done = this.#propose(row, commit, source);
    const deciding: Deciding = { commit, done, unknown: false };
    this.#running.set(row.number, deciding);
    done.then(
      () => this.#settled(row, deciding),
      (error: unknown) => {
        if (isMqError(error) && error.code === 'REQUEST_TIMEOUT') deciding.unknown = true;
        else this.#settled(row, deciding);
      },
    );
    return deciding;
  }

  #settled(row: HalfRow, deciding: Deciding): void {
    if (this.#running.get(row.number) === deciding) this.#running.delete(row.number);
  }

  async #propose(row: HalfRow, commit: boolean, source: number): Promise<number> {
    const { proposer, probe } = this.#options;
    const { number } = row;
    const records: ProposedRecord[] = [];
    if (commit) records.push(await this.#message(row));
    records.push({ command: { kind: 'end-transaction', number, commit, source } });
    const results = await proposer.propose(records);
    if ((results.at(-1) as EndTransactionResult) === 'gone')
      throw unknownTransaction(row.messageId);
    if (source === transactionSource.SERVER_CHECK) probe.decidedByCheck++;
    if (!commit) {
      probe.rolledBack++;
      return 0;
    }
    probe.committed++;
    return row.bodySizeBytes;
  }

  /** The half message on its way to its queue. */
  async #message(row: HalfRow): Promise<ProposedRecord> {
    const { tables, queueFor, refusal } = this.#options;
    const running = this.#running;
    const copy = await tables.cold.get(halfKey(row.number));
    const topic = tables.topics.get(row.topic);
    // Reading took a moment: the topic may be gone, or this replica lead no more, or again, and not know of this one.
    const refused = refusal();
    if (refused !== null) throw refused;
    if (running !== this.#running) throw otherReign();
    if (copy === null || topic === undefined || row.removed) {
      throw unknownTransaction(row.messageId);
    }
    const queueId = queueFor(topic.config, storedProperty(copy, propertyName.SHARDING_KEY));
    const transactionFlag = sysFlag.TRANSACTION_COMMIT;
    return { copy, queueId, transactionFlag, preparedTransactionOffset: row.number };
  }
}

/** How the text of the error begins for an id that a group does not know: another group may. */
export const UNKNOWN_TRANSACTION = 'no transaction ';

function unknownTransaction(id: string): MqError {
  return new MqError(
    'INVALID_TRANSACTION_ID',
    `${UNKNOWN_TRANSACTION}${id} is known in this topic: it was never begun, went away with its topic, or ended longer ago than outcomes are kept`,
  );
}

function contrary(outcome: TransactionOutcome): MqError {
  const how = {
    [outcomeCode.COMMITTED]: 'committed',
    [outcomeCode.ROLLED_BACK]: 'rolled back',
    [outcomeCode.DISCARDED]: 'given up, as too many parked ones were waiting for an operator',
  }[outcome.outcome];
  const when = new Date(outcome.decidedAtMs).toISOString();
  return new MqError(
    'INVALID_TRANSACTION_ID',
    `transaction ${outcome.messageId} was ${how} at ${when}; the first decision stands`,
  );
}

function otherReign(): MqError {
  return new MqError('HA_NOT_AVAILABLE', 'the leadership changed meanwhile; decide again');
}

function stillUnknown(id: string): MqError {
  return new MqError(
    'REQUEST_TIMEOUT',
    `an earlier decision about transaction ${id} has no known outcome yet; ask again in a moment`,
  );
}
