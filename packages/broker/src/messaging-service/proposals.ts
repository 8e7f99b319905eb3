import { assert, isMqError, MqError } from '@raftmq/base';
import {
  placeTransactionalMessage,
  storedTopic,
  writeStoredMessage,
  type PreparedMessage,
  type StoredPlacement,
} from '@raftmq/protocol';
import { type Proposal, type RejectReason, type SealContext } from '@raftmq/raft';
import { type SendResult } from '../messaging.js';
import { encodeCommand, type Command } from '../state/commands/index.js';
import { type NextOffsets } from './next-offsets.js';

/** What takes proposals: the Raft driver, or a test's stand-in. */
export interface Proposer {
  propose(proposal: Proposal): void;
}

/**
 * The error of a refused proposal. HA_NOT_AVAILABLE says that it did not and will not happen, so that the caller may
 * try elsewhere; REQUEST_TIMEOUT that nobody knows.
 */
export function rejectionError(reason: RejectReason): MqError {
  switch (reason) {
    case 'overloaded':
      return new MqError(
        'TOO_MANY_REQUESTS',
        'too much is waiting to be written; slow down and try again',
      );
    case 'not-leader':
    case 'lost':
      return new MqError(
        'HA_NOT_AVAILABLE',
        'this replica does not lead its group any more; ask the new leader',
      );
    case 'no-quorum':
      return new MqError('HA_NOT_AVAILABLE', 'too few replicas of the group answer; try again');
    case 'stopped':
      return new MqError('HA_NOT_AVAILABLE', 'this replica is stopping; ask another one');
    case 'unknown':
      return new MqError(
        'REQUEST_TIMEOUT',
        'the group did not agree in time; the request may or may not have taken effect',
      );
  }
}

/** A message that was finished before, stored layout: it enters the log as it is, but for its place. */
export interface ProposedCopy {
  readonly copy: Buffer;
  readonly queueId: number;
  /** Its transaction bits from now on. */
  readonly transactionFlag: number;
  readonly preparedTransactionOffset: number;
}

/** One record of a {@link RecordsProposal}: a command, or a message for a queue. */
export type ProposedRecord =
  | { readonly command: Command }
  | { readonly message: PreparedMessage; readonly queueId: number }
  | ProposedCopy;

interface EncodedCommand {
  readonly command: Command;
  readonly bytes: Buffer;
}

type EncodedRecord =
  EncodedCommand | { readonly message: PreparedMessage; readonly queueId: number } | ProposedCopy;

/** Commands, and the odd message among them, that enter the log together. Gives one result per record. */
export class RecordsProposal implements Proposal {
  readonly sizeBytes: number;
  readonly recordCount: number;
  readonly #records: readonly EncodedRecord[];
  readonly #offsets: NextOffsets;
  readonly #resolve: (results: readonly unknown[]) => void;
  readonly #reject: (error: MqError) => void;
  /** Present only when someone asked for it: the driver keeps nothing for others. */
  readonly committedLate?: (results: readonly unknown[], from: number) => void;

  constructor(
    records: readonly ProposedRecord[],
    offsets: NextOffsets,
    resolve: (results: readonly unknown[]) => void,
    reject: (error: MqError) => void,
    late?: (results: readonly unknown[]) => void,
  ) {
    this.#records = records.map((record) =>
      'command' in record
        ? { command: record.command, bytes: encodeCommand(record.command) }
        : record,
    );
    this.recordCount = records.length;
    this.sizeBytes = this.#records.reduce((sum, record) => sum + recordSize(record), 0);
    this.#offsets = offsets;
    this.#resolve = resolve;
    this.#reject = reject;
    if (late !== undefined) {
      this.committedLate = (all, from) => late(all.slice(from, from + records.length));
    }
  }

  write(frame: Buffer, at: number, context: SealContext): number {
    for (const record of this.#records) {
      if ('command' in record) {
        this.#sealed(record.command);
        at += record.bytes.copy(frame, at);
        continue;
      }
      const { queueId } = record;
      const topic = 'message' in record ? record.message.topic : storedTopic(record.copy);
      const queueOffset = this.#offsets.take(topic, queueId, 1);
      const { storeTimestampMs } = context;
      const physicalOffset = context.position + at;
      const placement = { queueId, queueOffset, physicalOffset, storeTimestampMs };
      if ('message' in record) {
        at = writeStoredMessage(frame, at, record.message, placement);
        continue;
      }
      const { transactionFlag, preparedTransactionOffset } = record;
      const transition = { ...placement, transactionFlag, preparedTransactionOffset };
      at = placeTransactionalMessage(record.copy, frame, at, transition);
    }
    return at;
  }

  committed(results: readonly unknown[], from: number): void {
    this.#resolve(results.slice(from, from + this.recordCount));
  }

  rejected(reason: RejectReason): void {
    this.#reject(rejectionError(reason));
  }

  #sealed(command: Command): void {
    if (command.kind === 'put-topic') this.#offsets.topicPut(command.topic.name);
    if (command.kind === 'delete-topic') this.#offsets.topicDeleted(command.name);
  }
}

function recordSize(record: EncodedRecord): number {
  if ('command' in record) return record.bytes.length;
  return 'message' in record ? record.message.sizeBytes : record.copy.length;
}

/** Messages of one send call, all for one queue. One promise for all of them. */
export class SendProposal implements Proposal {
  readonly sizeBytes: number;
  readonly recordCount: number;
  readonly #messages: readonly PreparedMessage[];
  readonly #queueId: number;
  readonly #offsets: NextOffsets;
  readonly #resolve: (result: SendResult) => void;
  readonly #reject: (error: MqError) => void;
  #firstQueueOffset = -1;
  #sealedIndex = 0;
  #isOpen = false;

  /** @param messages at least one, all of one topic */
  constructor(
    messages: readonly PreparedMessage[],
    queueId: number,
    offsets: NextOffsets,
    resolve: (result: SendResult) => void,
    reject: (error: MqError) => void,
  ) {
    let sizeBytes = 0;
    for (const message of messages) sizeBytes += message.sizeBytes;
    this.sizeBytes = sizeBytes;
    this.recordCount = messages.length;
    this.#messages = messages;
    this.#queueId = queueId;
    this.#offsets = offsets;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  write(frame: Buffer, at: number, context: SealContext): number {
    const messages = this.#messages;
    this.#sealedIndex = context.index;
    const first = this.#offsets.take(messages[0]!.topic, this.#queueId, messages.length);
    this.#firstQueueOffset = first;
    const placement: StoredPlacement = {
      queueId: this.#queueId,
      queueOffset: first,
      physicalOffset: 0,
      storeTimestampMs: context.storeTimestampMs,
    };
    for (let i = 0; i < messages.length; i++) {
      placement.queueOffset = first + i;
      placement.physicalOffset = context.position + at;
      at = writeStoredMessage(frame, at, messages[i]!, placement);
    }
    return at;
  }

  committed(results: readonly unknown[], from: number): void {
    const result = results[from];
    if (isMqError(result)) return this.#reject(result);
    assert(
      result === this.#firstQueueOffset,
      'a message is applied at the offset it was sealed with',
    );
    this.#resolve({ queueId: this.#queueId, firstQueueOffset: this.#firstQueueOffset });
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

/** Proposes records; resolves with one result per record once they are applied. */
export class RecordsProposer {
  readonly #proposer: Proposer;
  readonly #offsets: NextOffsets;

  constructor(proposer: Proposer, offsets: NextOffsets) {
    this.#proposer = proposer;
    this.#offsets = offsets;
  }

  /**
   * @param late called with the results when they come after the promise was rejected with REQUEST_TIMEOUT
   * @throws MqError see {@link rejectionError}
   */
  propose(
    records: readonly ProposedRecord[],
    late?: (results: readonly unknown[]) => void,
  ): Promise<readonly unknown[]> {
    return new Promise((resolve, reject) => {
      this.#proposer.propose(new RecordsProposal(records, this.#offsets, resolve, reject, late));
    });
  }

  /** One command; an error that apply gave it is thrown. */
  async command(command: Command): Promise<unknown> {
    const [result] = await this.propose([{ command }]);
    if (isMqError(result)) throw result;
    return result;
  }
}
