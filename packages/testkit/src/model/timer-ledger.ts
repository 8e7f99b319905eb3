import { type Command } from '@raftmq/broker/internal';
import { decodeStoredMessage } from '@raftmq/protocol';

/** A message that waits, or waited, for its delivery time. */
export interface LoggedTimer {
  readonly id: number;
  readonly messageId: string;
  readonly topic: string;
  readonly dueMs: number;
  readonly topicEpoch: number | null;
  state: 'waiting' | 'fired' | 'recalled' | 'dropped';
}

/** What a ledger needs to know of the entry that it reads. */
export interface LedgerEntry {
  readonly index: number;
  readonly storeTimestampMs: number;
  /** Takes a message that lies in front, in the same entry. @returns whether there is one */
  takeMessage(topic: string, messageId: string): boolean;
  /** Tells a topic from a later one of its name; null = there is none. */
  topicEpoch(topic: string): number | null;
}

export type Violate = (invariant: string, message: string) => never;

/** Every timer of the log: it fires once, at its time or later, or is recalled and never fires. */
export class TimerLedger {
  /** By id. */
  readonly timers = new Map<number, LoggedTimer>();
  readonly #byMessage = new Map<string, LoggedTimer[]>();
  readonly #violate: Violate;
  #waiting = 0;

  constructor(violate: Violate) {
    this.#violate = violate;
  }

  /** Timers that neither fired nor were recalled. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Every timer of a message id, in the order of the log. */
  of(messageId: string): readonly LoggedTimer[] {
    return this.#byMessage.get(messageId) ?? [];
  }

  put(
    entry: LedgerEntry,
    command: Extract<Command, { readonly kind: 'put-timer' }>,
    result: unknown,
  ): void {
    if (typeof result !== 'number') return;
    const { messageId, topic } = decodeStoredMessage(command.record);
    if (this.timers.has(result))
      this.#violate('timer-once', `${messageId} waits as timer ${result}, which was taken`);
    const { dueMs } = command;
    const topicEpoch = entry.topicEpoch(topic);
    const timer: LoggedTimer = {
      id: result,
      messageId,
      topic,
      dueMs,
      topicEpoch,
      state: 'waiting',
    };
    this.timers.set(result, timer);
    this.#byMessage.set(messageId, [...this.of(messageId), timer]);
    this.#waiting++;
  }

  /** Its message lies in front, in the same entry, unless its topic is gone, or another one has its name. */
  fire(entry: LedgerEntry, name: { readonly dueMs: number; readonly id: number }): void {
    const timer = this.end(entry, name, 'fired');
    const { messageId, topic, dueMs } = timer;
    if (entry.storeTimestampMs < dueMs) {
      this.#violate(
        'timer-never-early',
        `${messageId} is due at ${dueMs} and fires at ${entry.storeTimestampMs}`,
      );
    }
    if (entry.takeMessage(topic, messageId)) return;
    if (entry.topicEpoch(topic) === timer.topicEpoch)
      this.#violate('timer-fires', `${messageId} fires, and is in no queue`);
    timer.state = 'dropped';
  }

  end(
    entry: LedgerEntry,
    name: { readonly dueMs: number; readonly id: number },
    state: 'fired' | 'recalled',
  ): LoggedTimer {
    const timer = this.timers.get(name.id);
    if (timer?.state !== 'waiting' || timer.dueMs !== name.dueMs) {
      this.#violate(
        'timer-once',
        `entry ${entry.index}: timer ${name.id} is ${state}, and was ${timer?.state ?? 'never put'} before`,
      );
    }
    timer.state = state;
    this.#waiting--;
    return timer;
  }
}
