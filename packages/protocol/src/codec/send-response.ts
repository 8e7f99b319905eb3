import { statusCode } from '../codes.js';
import { OK_STATUS, readStatus, type Status, statusWithName, writeStatus } from '../status.js';
import { WireReader, WireWriter } from './wire.js';

/** Outcome of one message of a SendMessage call. */
export interface SendResultEntry {
  readonly status: Status;
  readonly messageId: string;
  /** The official clients expect the message id here, for every kind of message. */
  readonly transactionId: string;
  readonly offset: number;
  /** Empty unless the message waits for its delivery time. */
  readonly recallHandle: string;
}

/** A SendMessageResponse. */
export interface SendResponse {
  readonly status: Status;
  readonly entries: readonly SendResultEntry[];
}

const OK_ENTRY_SIZE_BYTES = 40;

/**
 * Encodes the answer to a call whose messages were all stored, in one queue and without a gap.
 *
 * @param messages in the order of the request
 * @param firstQueueOffset offset of the first; the others follow
 */
export function encodeSendOkResponse(
  messages: readonly { readonly messageId: string }[],
  firstQueueOffset: number,
): Buffer {
  const writer = new WireWriter(
    16 + messages.length * (OK_ENTRY_SIZE_BYTES + 2 * (messages[0]?.messageId.length ?? 0)),
  );
  for (let i = messages.length - 1; i >= 0; i--) {
    const mark = writer.size;
    const messageId = messages[i]!.messageId;
    writer.int(4, firstQueueOffset + i);
    writer.text(3, messageId);
    writer.text(2, messageId);
    writeStatus(writer, 1, OK_STATUS);
    writer.message(2, mark);
  }
  writeStatus(writer, 1, OK_STATUS);
  return writer.finish();
}

/** Encodes any answer: for calls whose messages fared differently, or wait for their time. */
export function encodeSendMessageResponse(response: SendResponse): Buffer {
  const writer = new WireWriter(64 + response.entries.length * 160);
  for (let i = response.entries.length - 1; i >= 0; i--) {
    const entry = response.entries[i]!;
    const mark = writer.size;
    writer.text(5, entry.recallHandle);
    writer.int(4, entry.offset);
    writer.text(3, entry.transactionId);
    writer.text(2, entry.messageId);
    writeStatus(writer, 1, entry.status);
    writer.message(2, mark);
  }
  writeStatus(writer, 1, response.status);
  return writer.finish();
}

/**
 * The status above several outcomes: their common code, MULTIPLE_RESULTS when they differ, INTERNAL_SERVER_ERROR when
 * there is none.
 */
export function commonStatus(statuses: readonly Status[]): Status {
  const first = statuses[0];
  if (first === undefined) return statusWithName(statusCode.INTERNAL_SERVER_ERROR);
  for (let i = 1; i < statuses.length; i++) {
    if (statuses[i]!.code !== first.code) return statusWithName(statusCode.MULTIPLE_RESULTS);
  }
  return first;
}

/** Decodes a SendMessageResponse. @throws MqError BAD_REQUEST on malformed bytes */
export function decodeSendMessageResponse(bytes: Buffer): SendResponse {
  const reader = new WireReader(bytes);
  let status: Status = { code: 0, message: '' };
  const entries: SendResultEntry[] = [];
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) status = readStatus(reader);
    else if (tag === 18) entries.push(readEntry(reader));
    else reader.skip(tag);
  }
  return { status, entries };
}

function readEntry(reader: WireReader): SendResultEntry {
  const outer = reader.enter();
  let status: Status = { code: 0, message: '' };
  let messageId = '';
  let transactionId = '';
  let offset = 0;
  let recallHandle = '';
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) status = readStatus(reader);
    else if (tag === 18) messageId = reader.text();
    else if (tag === 26) transactionId = reader.text();
    else if (tag === 32) offset = reader.int64();
    else if (tag === 42) recallHandle = reader.text();
    else reader.skip(tag);
  }
  reader.leave(outer);
  return { status, messageId, transactionId, offset, recallHandle };
}
