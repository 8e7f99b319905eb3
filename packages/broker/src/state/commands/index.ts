import { MqError } from '@raftmq/base';
import { type TermSink } from '@raftmq/broker-store';
import { BinaryReader, BinaryWriter } from '../../pop/binary.js';
import { setClusterSecretKind, type SetClusterSecret } from './cluster-secret.js';
import { type ApplyContext, type CommandKind } from './command-kind.js';
import { markResentKind, type MarkResent } from './dead-letters.js';
import {
  ackKind,
  changeInvisibleKind,
  deadLetterKind,
  deliverKind,
  renewLeasesKind,
  type Ack,
  type ChangeInvisible,
  type DeadLetter,
  type Deliver,
  type RenewLeases,
} from './delivery.js';
import { deleteGroupKind, putGroupKind, type DeleteGroup, type PutGroup } from './groups.js';
import {
  liteExpireKind,
  liteForgetKind,
  liteSubscribeKind,
  type LiteExpire,
  type LiteForget,
  type LiteSubscribe,
} from './lite.js';
import {
  fireTimersKind,
  putTimerKind,
  recallTimerKind,
  skipKind,
  type FireTimers,
  type PutTimer,
  type RecallTimer,
  type Skip,
} from './timers.js';
import {
  commitOffsetKind,
  openQueuesKind,
  resetOffsetsKind,
  type CommitOffset,
  type OpenQueues,
  type ResetOffsets,
} from './offsets.js';
import { deleteTopicKind, putTopicKind, type DeleteTopic, type PutTopic } from './topics.js';
import {
  countChecksKind,
  endTransactionKind,
  forgetOutcomesKind,
  parkHalfKind,
  putHalfKind,
  resumeHalvesKind,
  type CountChecks,
  type EndTransaction,
  type ForgetOutcomes,
  type ParkHalf,
  type PutHalf,
  type ResumeHalves,
} from './transactions.js';

export { type ApplyContext } from './command-kind.js';
export { type PutTimer } from './timers.js';
export { type ChangeInvisibleResult, type DeliveryName, type LeasedOffset } from './delivery.js';
export { type PlacedQueue, type QueuePlace } from './offsets.js';
export {
  type CountedCheck,
  type EndTransactionResult,
  type PutHalfResult,
} from './transactions.js';

/** First three bytes of a command's magic; the fourth is its kind. */
const COMMAND_MAGIC = 0x524d5100;
/** Size, magic and version in front of every command's body. */
export const COMMAND_HEADER_SIZE_BYTES = 9;
const COMMAND_VERSION = 1;

/** A change of the replicated tables; the vocabulary of everything in the log that is not a message. */
export type Command =
  | PutTopic
  | DeleteTopic
  | PutGroup
  | DeleteGroup
  | SetClusterSecret
  | Deliver
  | Ack
  | ChangeInvisible
  | DeadLetter
  | RenewLeases
  | LiteSubscribe
  | LiteForget
  | LiteExpire
  | PutTimer
  | FireTimers
  | RecallTimer
  | Skip
  | PutHalf
  | EndTransaction
  | CountChecks
  | ParkHalf
  | ResumeHalves
  | ForgetOutcomes
  | CommitOffset
  | ResetOffsets
  | OpenQueues
  | MarkResent;

type Kinds = {
  readonly [K in Command['kind']]: CommandKind<Extract<Command, { readonly kind: K }>>;
};

/** Every kind there is; `docs/formats/commands.md` lists their numbers and bodies. */
const kinds: Kinds = {
  'put-topic': putTopicKind,
  'delete-topic': deleteTopicKind,
  'put-group': putGroupKind,
  'delete-group': deleteGroupKind,
  'set-cluster-secret': setClusterSecretKind,
  deliver: deliverKind,
  ack: ackKind,
  'change-invisible': changeInvisibleKind,
  'dead-letter': deadLetterKind,
  'renew-leases': renewLeasesKind,
  'lite-subscribe': liteSubscribeKind,
  'lite-forget': liteForgetKind,
  'lite-expire': liteExpireKind,
  'put-timer': putTimerKind,
  'fire-timers': fireTimersKind,
  'recall-timer': recallTimerKind,
  skip: skipKind,
  'put-half': putHalfKind,
  'end-transaction': endTransactionKind,
  'count-checks': countChecksKind,
  'park-half': parkHalfKind,
  'resume-halves': resumeHalvesKind,
  'forget-outcomes': forgetOutcomesKind,
  'commit-offset': commitOffsetKind,
  'reset-offsets': resetOffsetsKind,
  'open-queues': openQueuesKind,
  'mark-resent': markResentKind,
};

const byNumber = new Map<number, CommandKind<never>>(
  Object.values(kinds).map((kind) => [kind.number, kind as CommandKind<never>]),
);

/**
 * Writes a command as a record, layout in `docs/formats/commands.md`.
 *
 *   0  4 size of the record
 *   4  4 magic 0x524d5100 + kind
 *   8  1 version (1)
 *   9    body
 */
export function encodeCommand(command: Command): Buffer {
  const writer = new BinaryWriter(COMMAND_HEADER_SIZE_BYTES);
  const kind = kinds[command.kind] as CommandKind<Command>;
  kind.write(writer, command);
  const record = writer.finish();
  writeCommandHeader(record, 0, command.kind, record.length);
  return record;
}

/**
 * Writes size, magic and version of a command record, for those who write its body in place.
 * @returns the offset of the body
 */
export function writeCommandHeader(
  target: Buffer,
  at: number,
  kind: Command['kind'],
  sizeBytes: number,
): number {
  target.writeUInt32BE(sizeBytes, at);
  target.writeUInt32BE(COMMAND_MAGIC + kinds[kind].number, at + 4);
  target[at + 8] = COMMAND_VERSION;
  return at + COMMAND_HEADER_SIZE_BYTES;
}

/** Whether a record's magic is that of a command, of a known kind or not. */
export function isCommandMagic(magic: number): boolean {
  return (magic & 0xffffff00) >>> 0 === COMMAND_MAGIC;
}

/** Whether the command record at `at` is of one of these kinds; looks at its magic only. */
export function isCommandOfKind(
  bytes: Buffer,
  at: number,
  ...wanted: readonly Command['kind'][]
): boolean {
  const number = bytes.readUInt32BE(at + 4) - COMMAND_MAGIC;
  return wanted.some((kind) => kinds[kind].number === number);
}

/**
 * Reads the command record that fills `bytes` from `at` for `sizeBytes`. Copies what it keeps.
 * @throws MqError VERSION_UNSUPPORTED for a kind or version of a newer RaftMQ, LOG_CORRUPTED for an impossible body
 */
export function decodeCommand(bytes: Buffer, at: number, sizeBytes: number): Command {
  if (sizeBytes < COMMAND_HEADER_SIZE_BYTES || at + sizeBytes > bytes.length) {
    throw new MqError(
      'LOG_CORRUPTED',
      `a command record of ${sizeBytes} bytes does not fit its entry`,
    );
  }
  const magic = bytes.readUInt32BE(at + 4);
  const version = bytes[at + 8];
  const number = magic - COMMAND_MAGIC;
  if (bytes.readUInt32BE(at) !== sizeBytes || !isCommandMagic(magic)) {
    throw new MqError('LOG_CORRUPTED', 'a command record does not begin with its size and magic');
  }
  if (version !== COMMAND_VERSION) {
    throw new MqError(
      'VERSION_UNSUPPORTED',
      `command ${number} version ${version}: written by a newer version of RaftMQ`,
    );
  }
  const kind = byNumber.get(number);
  if (kind === undefined) {
    throw new MqError(
      'VERSION_UNSUPPORTED',
      `command kind ${number}: written by a newer version of RaftMQ`,
    );
  }
  const from = at + COMMAND_HEADER_SIZE_BYTES;
  const reader = new BinaryReader(bytes, from, at + sizeBytes, `command ${number}`);
  const command: Command = kind.read(reader);
  reader.finish();
  return command;
}

/** Applies one command to the tables; see {@link CommandKind.apply}. */
export function applyCommand(context: ApplyContext, command: Command): unknown {
  return (kinds[command.kind] as CommandKind<Command>).apply(context, command);
}

/** Gives `sink` what the command can be found by; see {@link CommandKind.terms}. */
export function commandTerms(command: Command, sink: TermSink, position: number): void {
  (kinds[command.kind] as CommandKind<Command>).terms?.(command, sink, position);
}
