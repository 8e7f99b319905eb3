import { isMqError } from '@raftmq/base';
import { type Command } from '@raftmq/broker/internal';
import { decodeStoredMessage } from '@raftmq/protocol';
import { type LedgerEntry, type Violate } from './timer-ledger.js';

/** A half message of the log. */
export interface LoggedHalf {
  readonly number: number;
  readonly messageId: string;
  readonly topic: string;
  state: 'open' | 'committed' | 'rolled-back' | 'gone';
  parked: boolean;
  /** Times that producers were asked. */
  checks: number;
}

type CommandOf<K extends Command['kind']> = Extract<Command, { readonly kind: K }>;

/** Every transaction of the log: it is decided once, and its message is visible once, or never. */
export class TransactionLedger {
  readonly #violate: Violate;
  readonly #byNumber = new Map<number, LoggedHalf>();
  /** All halves that a message id ever had, by topic and id. */
  readonly #byKey = new Map<string, LoggedHalf[]>();
  #open = 0;

  constructor(violate: Violate) {
    this.#violate = violate;
  }

  /** Transactions without a decision. */
  get open(): number {
    return this.#open;
  }

  /** Every half message of an id, in the order of the log. */
  of(topic: string, messageId: string): readonly LoggedHalf[] {
    return this.#byKey.get(`${topic}/${messageId}`) ?? [];
  }

  put(entry: LedgerEntry, command: CommandOf<'put-half'>, result: unknown): void {
    if (isMqError(result)) return;
    const { number, again } = result as { readonly number: number; readonly again: boolean };
    const { messageId, topic } = decodeStoredMessage(command.message);
    const known = this.of(topic, messageId);
    const open = known.find((half) => half.state === 'open');
    const where = `entry ${entry.index}: half message ${messageId} of ${topic}`;
    if (again !== (open !== undefined) || (again && open?.number !== number)) {
      this.#violate(
        'transaction-once',
        `${where} is number ${number}${again ? ', again' : ''}, and ${open === undefined ? 'was not' : `was ${open.number}`} there`,
      );
    }
    if (again) return;
    if (known.length > 0)
      this.#violate(
        'transaction-once',
        `${where} begins anew after it was ${known.map((half) => half.state).join(', ')}`,
      );
    const half: LoggedHalf = { number, messageId, topic, state: 'open', parked: false, checks: 0 };
    this.#byNumber.set(number, half);
    this.#byKey.set(`${topic}/${messageId}`, [...known, half]);
    this.#open++;
  }

  end(entry: LedgerEntry, command: CommandOf<'end-transaction'>, result: unknown): void {
    const half = this.#byNumber.get(command.number);
    const open = half?.state === 'open';
    const where = `entry ${entry.index}: transaction ${half?.messageId ?? command.number}`;
    if ((result === 'ended') !== open)
      this.#violate(
        'one-decision',
        `${where} counts as ${String(result)}, and is ${half?.state ?? 'unknown'}`,
      );
    if (half === undefined) return;
    const visible = command.commit && entry.takeMessage(half.topic, half.messageId);
    if (visible && !open)
      this.#violate('one-decision', `${where} becomes visible after it was ${half.state}`);
    if (!open) return;
    if (command.commit && !visible && entry.topicEpoch(half.topic) !== null)
      this.#violate('transaction-visible', `${where} is committed, and its message is nowhere`);
    half.state = command.commit ? 'committed' : 'rolled-back';
    this.#open--;
  }

  counted({ checks }: CommandOf<'count-checks'>): void {
    for (const { number, checksBefore } of checks) {
      const half = this.#byNumber.get(number);
      if (half?.state === 'open' && !half.parked && half.checks === checksBefore) half.checks++;
    }
  }

  parked(entry: LedgerEntry, { number }: CommandOf<'park-half'>): void {
    const half = this.#byNumber.get(number);
    if (half?.state !== 'open') return;
    if (half.parked)
      this.#violate(
        'transaction-parked',
        `entry ${entry.index}: ${half.messageId} is parked, and was so before`,
      );
    half.parked = true;
  }

  resumed({ numbers }: CommandOf<'resume-halves'>): void {
    for (const number of numbers) {
      const half = this.#byNumber.get(number);
      if (half?.state !== 'open') continue;
      half.parked = false;
      half.checks = 0;
    }
  }

  /** Its transactions went with it. */
  topicDeleted(topic: string): void {
    for (const half of this.#byNumber.values()) {
      if (half.topic !== topic || half.state !== 'open') continue;
      half.state = 'gone';
      this.#open--;
    }
  }
}
