import { isMqError, varintSizeBytes, writeVarint, type MqError } from '@raftmq/base';
import {
  placeStoredMessage,
  writeStoredMessage,
  type PreparedMessage,
  type StoredPlacement,
} from '@raftmq/protocol';
import { type Proposal, type RejectReason, type SealContext } from '@raftmq/raft';
import { type NextOffsets } from '../messaging-service/next-offsets.js';
import { rejectionError } from '../messaging-service/proposals.js';
import {
  COMMAND_HEADER_SIZE_BYTES,
  encodeCommand,
  writeCommandHeader,
} from '../state/commands/index.js';
import { type TimerName } from '../state/timers-row.js';

/** A message of one send call, and when it is due; null = it goes to its queue at once. */
export interface TimedMessage {
  readonly prepared: PreparedMessage;
  readonly dueMs: number | null;
}

/** The messages of one send call some of which wait; they enter the log together, each result is an id or an offset. */
export class PutTimersProposal implements Proposal {
  readonly sizeBytes: number;
  readonly recordCount: number;
  readonly #messages: readonly TimedMessage[];
  readonly #queueId: number;
  readonly #offsets: NextOffsets;
  readonly #resolve: (results: readonly number[]) => void;
  readonly #reject: (error: MqError) => void;
  #sealedIndex = 0;
  #isOpen = false;

  /** @param queueId queue of the messages that do not wait */
  constructor(
    messages: readonly TimedMessage[],
    queueId: number,
    offsets: NextOffsets,
    resolve: (results: readonly number[]) => void,
    reject: (error: MqError) => void,
  ) {
    let sizeBytes = 0;
    for (const message of messages) sizeBytes += recordSize(message);
    this.sizeBytes = sizeBytes;
    this.recordCount = messages.length;
    this.#messages = messages;
    this.#queueId = queueId;
    this.#offsets = offsets;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  write(frame: Buffer, at: number, context: SealContext): number {
    const { storeTimestampMs } = context;
    this.#sealedIndex = context.index;
    const nowhere: StoredPlacement = {
      queueId: 0,
      queueOffset: 0,
      physicalOffset: 0,
      storeTimestampMs,
    };
    for (const message of this.#messages) {
      const { prepared, dueMs } = message;
      if (dueMs === null) {
        at = writeStoredMessage(frame, at, prepared, {
          queueId: this.#queueId,
          queueOffset: this.#offsets.take(prepared.topic, this.#queueId, 1),
          physicalOffset: context.position + at,
          storeTimestampMs,
        });
        continue;
      }
      at = writeCommandHeader(frame, at, 'put-timer', recordSize(message));
      at = writeVarint(frame, dueMs, at);
      at = writeVarint(frame, prepared.sizeBytes, at);
      at = writeStoredMessage(frame, at, prepared, nowhere);
    }
    return at;
  }

  committed(results: readonly unknown[], from: number): void {
    const own = results.slice(from, from + this.recordCount);
    const failure = own.find(isMqError);
    if (failure === undefined) this.#resolve(own as readonly number[]);
    else this.#reject(failure);
  }

  rejected(reason: RejectReason): void {
    this.#isOpen = reason === 'unknown';
    this.#reject(rejectionError(reason));
  }

  /** Rejected without an outcome: it may still commit, as long as this replica leads and the index is not applied. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Index of its entry, 0 while it is not sealed. */
  get sealedIndex(): number {
    return this.#sealedIndex;
  }
}

function recordSize({ prepared, dueMs }: TimedMessage): number {
  if (dueMs === null) return prepared.sizeBytes;
  const { sizeBytes } = prepared;
  return (
    COMMAND_HEADER_SIZE_BYTES + varintSizeBytes(dueMs) + varintSizeBytes(sizeBytes) + sizeBytes
  );
}

/** A waiting message on its way into its queue. */
export interface FiredMessage {
  readonly topic: string;
  readonly queueId: number;
  readonly record: Buffer;
}

/** What becomes of a {@link FireProposal}: one of them is called; `fired` also after `rejected` with `unknown`. */
export interface FireOutcome {
  /** One result per message: its queue offset, or why it was dropped. */
  fired(results: readonly unknown[]): void;
  /** The clock of the entry says that it is too early: nothing happened. */
  early(): void;
  rejected(reason: RejectReason): void;
}

/** Timers that are due: their messages, then the command that ends them, in one entry. */
export class FireProposal implements Proposal {
  readonly sizeBytes: number;
  readonly recordCount: number;
  readonly #messages: readonly FiredMessage[];
  readonly #command: Buffer;
  readonly #latestDueMs: number;
  readonly #offsets: NextOffsets;
  readonly #outcome: FireOutcome;
  #skipped = false;

  /** @param timers all timers that end, those whose message has no topic any more included */
  constructor(
    messages: readonly FiredMessage[],
    timers: readonly TimerName[],
    offsets: NextOffsets,
    outcome: FireOutcome,
  ) {
    this.#messages = messages;
    this.#command = encodeCommand({ kind: 'fire-timers', timers });
    let sizeBytes = this.#command.length;
    for (const { record } of messages) sizeBytes += record.length;
    this.sizeBytes = sizeBytes;
    this.recordCount = messages.length + 1;
    let latestDueMs = 0;
    for (const { dueMs } of timers) if (dueMs > latestDueMs) latestDueMs = dueMs;
    this.#latestDueMs = latestDueMs;
    this.#offsets = offsets;
    this.#outcome = outcome;
  }

  write(frame: Buffer, at: number, context: SealContext): number {
    // The wall clock went back since the timers were found due, and the log's clock is not there yet.
    if (context.storeTimestampMs < this.#latestDueMs) return this.#skip(frame, at);
    const placement: StoredPlacement = {
      queueId: 0,
      queueOffset: 0,
      physicalOffset: 0,
      storeTimestampMs: context.storeTimestampMs,
    };
    for (const { topic, queueId, record } of this.#messages) {
      placement.queueId = queueId;
      placement.queueOffset = this.#offsets.take(topic, queueId, 1);
      placement.physicalOffset = context.position + at;
      at = placeStoredMessage(record, frame, at, placement);
    }
    return at + this.#command.copy(frame, at);
  }

  committed(results: readonly unknown[], from: number): void {
    if (this.#skipped) this.#outcome.early();
    else this.#outcome.fired(results.slice(from, from + this.recordCount - 1));
  }

  /** Only counted: the timers ended when the entry was applied. */
  committedLate(results: readonly unknown[], from: number): void {
    if (!this.#skipped) this.committed(results, from);
  }

  rejected(reason: RejectReason): void {
    // Whatever becomes of records that do nothing, the timers still wait.
    if (this.#skipped) this.#outcome.early();
    else this.#outcome.rejected(reason);
  }

  /** Fills the announced size with records that do nothing. */
  #skip(frame: Buffer, at: number): number {
    this.#skipped = true;
    for (const { record } of this.#messages) at = skipRecord(frame, at, record.length);
    return skipRecord(frame, at, this.#command.length);
  }
}

function skipRecord(frame: Buffer, at: number, sizeBytes: number): number {
  const end = at + sizeBytes;
  frame.fill(0, writeCommandHeader(frame, at, 'skip', sizeBytes), end);
  return end;
}
