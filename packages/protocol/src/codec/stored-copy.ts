import { assert, writeInt64 } from '@raftmq/base';
import { storedBodyStart, storedSizeBytes, storedSysFlag } from './stored-fields.js';
import {
  placeStoredMessage,
  sysFlag,
  writeStoredMessage,
  type PreparedMessage,
  type StoredPlacement,
} from './stored-message.js';

/*
 * Messages that are finished before they have a place in a queue: half messages and the like are kept outside the log's
 * message records, and are written there later as they are, but for the few fields that say where and when.
 */

const NO_PLACE: StoredPlacement = {
  queueId: 0,
  queueOffset: 0,
  physicalOffset: 0,
  storeTimestampMs: 0,
};

/** A record of its own, without a place. */
export function encodeStoredMessage(prepared: PreparedMessage): Buffer {
  const record = Buffer.allocUnsafe(prepared.sizeBytes);
  writeStoredMessage(record, 0, prepared, NO_PLACE);
  return record;
}

/** What changes in a record that gets its place later than its content. */
export interface StoredTransition extends StoredPlacement {
  /** Replaces the bits of {@link sysFlag}.TRANSACTION_MASK. */
  transactionFlag: number;
  preparedTransactionOffset: number;
}

/**
 * Copies a record as {@link placeStoredMessage} does, and writes what its transaction came to.
 *
 * @returns the offset behind the copy
 */
export function placeTransactionalMessage(
  record: Buffer,
  target: Buffer,
  at: number,
  transition: StoredTransition,
): number {
  assert(storedSizeBytes(record) === record.length, 'the record is whole');
  const end = placeStoredMessage(record, target, at, transition);
  const flags = storedSysFlag(record) & ~sysFlag.TRANSACTION_MASK;
  target.writeInt32BE(flags | transition.transactionFlag, at + 36);
  writeInt64(target, transition.preparedTransactionOffset, at + storedBodyStart(record) - 12);
  return end;
}

/** Writes the time of storage into a record that the caller owns. Unix milliseconds. */
export function stampStoredMessage(record: Buffer, storeTimestampMs: number): void {
  const bornHostSizeBytes = (storedSysFlag(record) & sysFlag.BORN_HOST_IPV6) === 0 ? 8 : 20;
  writeInt64(record, storeTimestampMs, 48 + bornHostSizeBytes);
}
