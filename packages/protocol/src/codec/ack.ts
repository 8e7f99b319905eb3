import { MqError } from '@raftmq/base';
import { consumeLimits } from '../limits.js';
import { type Resource } from '../model/message.js';
import { OK_STATUS, readStatus, type Status, writeStatus } from '../status.js';
import { commonStatus } from './send-response.js';
import { NO_RESOURCE, readResource, writeResource } from './shared.js';
import { WireReader, WireWriter } from './wire.js';

/** One message to acknowledge. */
export interface AckEntry {
  readonly messageId: string;
  readonly receiptHandle: string;
  readonly liteTopic: string | null;
}

/** An AckMessageRequest. */
export interface AckRequest {
  readonly group: Resource;
  readonly topic: Resource;
  readonly entries: readonly AckEntry[];
}

/** Outcome of one entry. */
export interface AckResult {
  readonly messageId: string;
  readonly receiptHandle: string;
  readonly status: Status;
}

/** An AckMessageResponse. */
export interface AckResponse {
  readonly status: Status;
  readonly entries: readonly AckResult[];
}

/**
 * Decodes an AckMessageRequest.
 *
 * @throws MqError BAD_REQUEST on malformed bytes; PAYLOAD_TOO_LARGE beyond 8192 entries; ILLEGAL_… or
 *   INVALID_RECEIPT_HANDLE for a text that is no UTF-8
 */
export function decodeAckMessageRequest(frame: Buffer): AckRequest {
  const reader = new WireReader(frame);
  let group = NO_RESOURCE;
  let topic = NO_RESOURCE;
  const entries: AckEntry[] = [];
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 26) {
      if (entries.length === consumeLimits.ackEntriesMax) {
        throw new MqError(
          'PAYLOAD_TOO_LARGE',
          `one call may acknowledge ${entries.length} messages at most; send the rest in another call`,
        );
      }
      entries.push(readAckEntry(reader));
    } else if (tag === 10) group = readResource(reader, 'ILLEGAL_CONSUMER_GROUP');
    else if (tag === 18) topic = readResource(reader, 'ILLEGAL_TOPIC');
    else reader.skip(tag);
  }
  return { group, topic, entries };
}

function readAckEntry(reader: WireReader): AckEntry {
  const outer = reader.enter();
  let messageId = '';
  let receiptHandle = '';
  let liteTopic: string | null = null;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) messageId = reader.text('ILLEGAL_MESSAGE_ID');
    else if (tag === 18) receiptHandle = reader.text('INVALID_RECEIPT_HANDLE');
    else if (tag === 26) liteTopic = reader.text('ILLEGAL_TOPIC');
    else reader.skip(tag);
  }
  reader.leave(outer);
  return { messageId, receiptHandle, liteTopic };
}

/** Encodes an AckMessageRequest. */
export function encodeAckMessageRequest(request: AckRequest): Buffer {
  const writer = new WireWriter(96 + request.entries.length * 160);
  for (let i = request.entries.length - 1; i >= 0; i--) {
    const entry = request.entries[i]!;
    const mark = writer.size;
    if (entry.liteTopic !== null) writer.presentText(3, entry.liteTopic);
    writer.text(2, entry.receiptHandle);
    writer.text(1, entry.messageId);
    writer.message(3, mark);
  }
  writeResource(writer, 2, request.topic);
  writeResource(writer, 1, request.group);
  return writer.finish();
}

/**
 * Encodes the answer to an AckMessage call; its status is the entries' common one.
 *
 * @param entries of the request, in its order
 * @param outcomes one per entry; null = acknowledged
 */
export function encodeAckMessageResponse(
  entries: readonly AckEntry[],
  outcomes: readonly (Status | null)[],
): Buffer {
  const writer = new WireWriter(32 + entries.length * 176);
  let allOk = entries.length > 0;
  for (let i = entries.length - 1; i >= 0; i--) {
    const mark = writer.size;
    const outcome = outcomes[i] ?? OK_STATUS;
    allOk &&= outcome === OK_STATUS;
    writeStatus(writer, 3, outcome);
    writer.text(2, entries[i]!.receiptHandle);
    writer.text(1, entries[i]!.messageId);
    writer.message(2, mark);
  }
  writeStatus(
    writer,
    1,
    allOk ? OK_STATUS : commonStatus(outcomes.map((outcome) => outcome ?? OK_STATUS)),
  );
  return writer.finish();
}

/** Decodes an AckMessageResponse. @throws MqError BAD_REQUEST on malformed bytes */
export function decodeAckMessageResponse(frame: Buffer): AckResponse {
  const reader = new WireReader(frame);
  let status: Status = { code: 0, message: '' };
  const entries: AckResult[] = [];
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) status = readStatus(reader);
    else if (tag === 18) entries.push(readAckResult(reader));
    else reader.skip(tag);
  }
  return { status, entries };
}

function readAckResult(reader: WireReader): AckResult {
  const outer = reader.enter();
  let messageId = '';
  let receiptHandle = '';
  let status: Status = { code: 0, message: '' };
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) messageId = reader.text();
    else if (tag === 18) receiptHandle = reader.text();
    else if (tag === 26) status = readStatus(reader);
    else reader.skip(tag);
  }
  reader.leave(outer);
  return { messageId, receiptHandle, status };
}
