import { type Resource } from '../model/message.js';
import { readStatus, type Status, writeStatus } from '../status.js';
import { NO_RESOURCE, readResource, writeResource } from './shared.js';
import { WireReader, WireWriter } from './wire.js';

/** A RecallMessageRequest { 1 topic, 2 recall_handle }. */
export interface RecallRequest {
  readonly topic: Resource;
  readonly recallHandle: string;
}

/** A RecallMessageResponse { 1 status, 2 message_id }. */
export interface RecallResponse {
  readonly status: Status;
  /** '' unless the message was recalled. */
  readonly messageId: string;
}

/** @throws MqError BAD_REQUEST on malformed bytes; the field's code for a text that is no UTF-8 */
export function decodeRecallMessageRequest(frame: Buffer): RecallRequest {
  const reader = new WireReader(frame);
  let topic = NO_RESOURCE;
  let recallHandle = '';
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) topic = readResource(reader, 'ILLEGAL_TOPIC');
    else if (tag === 18) recallHandle = reader.text('RECALL_FAILED');
    else reader.skip(tag);
  }
  return { topic, recallHandle };
}

/** Encodes a RecallMessageRequest. */
export function encodeRecallMessageRequest(request: RecallRequest): Buffer {
  const writer = new WireWriter(192);
  writer.text(2, request.recallHandle);
  writeResource(writer, 1, request.topic);
  return writer.finish();
}

/** Encodes a RecallMessageResponse. */
export function encodeRecallMessageResponse(response: RecallResponse): Buffer {
  const writer = new WireWriter(96);
  writer.text(2, response.messageId);
  writeStatus(writer, 1, response.status);
  return writer.finish();
}

/** Decodes a RecallMessageResponse. @throws MqError BAD_REQUEST on malformed bytes */
export function decodeRecallMessageResponse(frame: Buffer): RecallResponse {
  const reader = new WireReader(frame);
  let status: Status = { code: 0, message: '' };
  let messageId = '';
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) status = readStatus(reader);
    else if (tag === 18) messageId = reader.text();
    else reader.skip(tag);
  }
  return { status, messageId };
}
