import { type Resource } from '../model/message.js';
import { readStatus, type Status, writeStatus } from '../status.js';
import { NO_RESOURCE, readResource, writeResource } from './shared.js';
import { WireReader, WireWriter } from './wire.js';

/** A ChangeInvisibleDurationRequest. */
export interface ChangeInvisibleRequest {
  readonly group: Resource;
  readonly topic: Resource;
  readonly receiptHandle: string;
  /** Not checked; 0 when absent. */
  readonly invisibleMs: number;
  readonly messageId: string;
  readonly liteTopic: string | null;
  /** The attempt does not count. */
  readonly suspend: boolean;
}

/** A ChangeInvisibleDurationResponse. */
export interface ChangeInvisibleResponse {
  readonly status: Status;
  readonly receiptHandle: string;
}

/** A ForwardMessageToDeadLetterQueueRequest. */
export interface ForwardToDeadLetterRequest {
  readonly group: Resource;
  readonly topic: Resource;
  readonly receiptHandle: string;
  readonly messageId: string;
  /** Informational. */
  readonly deliveryAttempt: number;
  /** Informational. */
  readonly maxDeliveryAttempts: number;
  readonly liteTopic: string | null;
}

/** @throws MqError BAD_REQUEST on malformed bytes; the field's code for a text that is no UTF-8 */
export function decodeChangeInvisibleDurationRequest(frame: Buffer): ChangeInvisibleRequest {
  const reader = new WireReader(frame);
  let group = NO_RESOURCE;
  let topic = NO_RESOURCE;
  let receiptHandle = '';
  let invisibleMs = 0;
  let messageId = '';
  let liteTopic: string | null = null;
  let suspend = false;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) group = readResource(reader, 'ILLEGAL_CONSUMER_GROUP');
    else if (tag === 18) topic = readResource(reader, 'ILLEGAL_TOPIC');
    else if (tag === 26) receiptHandle = reader.text('INVALID_RECEIPT_HANDLE');
    else if (tag === 34) invisibleMs = reader.timeMs();
    else if (tag === 42) messageId = reader.text('ILLEGAL_MESSAGE_ID');
    else if (tag === 50) liteTopic = reader.text('ILLEGAL_TOPIC');
    else if (tag === 56) suspend = reader.bool();
    else reader.skip(tag);
  }
  return { group, topic, receiptHandle, invisibleMs, messageId, liteTopic, suspend };
}

/** Encodes a ChangeInvisibleDurationRequest. */
export function encodeChangeInvisibleDurationRequest(request: ChangeInvisibleRequest): Buffer {
  const writer = new WireWriter(256);
  writer.bool(7, request.suspend);
  if (request.liteTopic !== null) writer.presentText(6, request.liteTopic);
  writer.text(5, request.messageId);
  writer.timeMs(4, request.invisibleMs);
  writer.text(3, request.receiptHandle);
  writeResource(writer, 2, request.topic);
  writeResource(writer, 1, request.group);
  return writer.finish();
}

/** Encodes a ChangeInvisibleDurationResponse. */
export function encodeChangeInvisibleDurationResponse(response: ChangeInvisibleResponse): Buffer {
  const writer = new WireWriter(160);
  writer.text(2, response.receiptHandle);
  writeStatus(writer, 1, response.status);
  return writer.finish();
}

/** Decodes a ChangeInvisibleDurationResponse. @throws MqError BAD_REQUEST on malformed bytes */
export function decodeChangeInvisibleDurationResponse(frame: Buffer): ChangeInvisibleResponse {
  const reader = new WireReader(frame);
  let status: Status = { code: 0, message: '' };
  let receiptHandle = '';
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) status = readStatus(reader);
    else if (tag === 18) receiptHandle = reader.text();
    else reader.skip(tag);
  }
  return { status, receiptHandle };
}

/** @throws MqError BAD_REQUEST on malformed bytes; the field's code for a text that is no UTF-8 */
export function decodeForwardToDeadLetterRequest(frame: Buffer): ForwardToDeadLetterRequest {
  const reader = new WireReader(frame);
  let group = NO_RESOURCE;
  let topic = NO_RESOURCE;
  let receiptHandle = '';
  let messageId = '';
  let deliveryAttempt = 0;
  let maxDeliveryAttempts = 0;
  let liteTopic: string | null = null;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) group = readResource(reader, 'ILLEGAL_CONSUMER_GROUP');
    else if (tag === 18) topic = readResource(reader, 'ILLEGAL_TOPIC');
    else if (tag === 26) receiptHandle = reader.text('INVALID_RECEIPT_HANDLE');
    else if (tag === 34) messageId = reader.text('ILLEGAL_MESSAGE_ID');
    else if (tag === 40) deliveryAttempt = reader.int32();
    else if (tag === 48) maxDeliveryAttempts = reader.int32();
    else if (tag === 58) liteTopic = reader.text('ILLEGAL_TOPIC');
    else reader.skip(tag);
  }
  return {
    group,
    topic,
    receiptHandle,
    messageId,
    deliveryAttempt,
    maxDeliveryAttempts,
    liteTopic,
  };
}

/** Encodes a ForwardMessageToDeadLetterQueueRequest. Its response has nothing but a status. */
export function encodeForwardToDeadLetterRequest(request: ForwardToDeadLetterRequest): Buffer {
  const writer = new WireWriter(256);
  if (request.liteTopic !== null) writer.presentText(7, request.liteTopic);
  writer.int(6, request.maxDeliveryAttempts);
  writer.int(5, request.deliveryAttempt);
  writer.text(4, request.messageId);
  writer.text(3, request.receiptHandle);
  writeResource(writer, 2, request.topic);
  writeResource(writer, 1, request.group);
  return writer.finish();
}
