import { type Resource } from '../model/message.js';
import { NO_RESOURCE, readResource, writeResource } from './shared.js';
import { WireReader, WireWriter } from './wire.js';

/** Numbers of the wire enum FilterType; unspecified means TAG. */
export const filterType = { UNSPECIFIED: 0, TAG: 1, SQL: 2 } as const;

/** A ReceiveMessageRequest as it came: nothing is checked, absent numbers are null or 0. */
export interface ReceiveMessageRequest {
  readonly group: Resource;
  /** Topic of the message queue, as the client spelled it. */
  readonly topic: Resource;
  readonly brokerName: string;
  /** Means nothing: RocketMQ and its clients disagree about queue ids. */
  readonly queueId: number;
  readonly filterType: number;
  readonly filterExpression: string;
  readonly batchSize: number;
  readonly invisibleMs: number | null;
  readonly autoRenew: boolean;
  readonly longPollingMs: number | null;
  readonly attemptId: string | null;
}

/** A message queue as named in requests. */
export interface QueueName {
  readonly topic: Resource;
  readonly queueId: number;
  readonly brokerName: string;
}

/**
 * Decodes a ReceiveMessageRequest.
 *
 * @throws MqError BAD_REQUEST on malformed bytes; ILLEGAL_… for a name that is no UTF-8
 */
export function decodeReceiveMessageRequest(frame: Buffer): ReceiveMessageRequest {
  const reader = new WireReader(frame);
  let group = NO_RESOURCE;
  let queue: QueueName = { topic: NO_RESOURCE, queueId: 0, brokerName: '' };
  let filter: FilterName = { type: 0, expression: '' };
  let batchSize = 0;
  let invisibleMs: number | null = null;
  let autoRenew = false;
  let longPollingMs: number | null = null;
  let attemptId: string | null = null;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) group = readResource(reader, 'ILLEGAL_CONSUMER_GROUP');
    else if (tag === 18) queue = readQueueName(reader);
    else if (tag === 26) filter = readFilter(reader);
    else if (tag === 32) batchSize = reader.int32();
    else if (tag === 42) invisibleMs = reader.timeMs();
    else if (tag === 48) autoRenew = reader.bool();
    else if (tag === 58) longPollingMs = reader.timeMs();
    else if (tag === 66) attemptId = reader.text();
    else reader.skip(tag);
  }
  return {
    group,
    topic: queue.topic,
    brokerName: queue.brokerName,
    queueId: queue.queueId,
    filterType: filter.type,
    filterExpression: filter.expression,
    batchSize,
    invisibleMs,
    autoRenew,
    longPollingMs,
    attemptId,
  };
}

/** Encodes a ReceiveMessageRequest. */
export function encodeReceiveMessageRequest(request: ReceiveMessageRequest): Buffer {
  const writer = new WireWriter(192);
  if (request.attemptId !== null) writer.presentText(8, request.attemptId);
  if (request.longPollingMs !== null) writer.timeMs(7, request.longPollingMs);
  writer.bool(6, request.autoRenew);
  if (request.invisibleMs !== null) writer.timeMs(5, request.invisibleMs);
  writer.int(4, request.batchSize);
  writeFilter(writer, 3, { type: request.filterType, expression: request.filterExpression });
  writeQueueName(writer, 2, request);
  writeResource(writer, 1, request.group);
  return writer.finish();
}

/** Reads the parts of a MessageQueue that name one. */
export function readQueueName(reader: WireReader): QueueName {
  const outer = reader.enter();
  let topic = NO_RESOURCE;
  let queueId = 0;
  let brokerName = '';
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) topic = readResource(reader, 'ILLEGAL_TOPIC');
    else if (tag === 16) queueId = reader.int32();
    else if (tag === 34) brokerName = readBrokerName(reader);
    else reader.skip(tag);
  }
  reader.leave(outer);
  return { topic, queueId, brokerName };
}

/** Writes a MessageQueue with nothing but its name. */
export function writeQueueName(writer: WireWriter, field: number, queue: QueueName): void {
  const mark = writer.size;
  writer.text(1, queue.brokerName);
  writer.message(4, mark);
  writer.int(2, queue.queueId);
  writeResource(writer, 1, queue.topic);
  writer.message(field, mark);
}

function readBrokerName(reader: WireReader): string {
  const outer = reader.enter();
  let name = '';
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) name = reader.text();
    else reader.skip(tag);
  }
  reader.leave(outer);
  return name;
}

/** A FilterExpression. */
export interface FilterName {
  /** A {@link filterType}, or a number that we do not know. */
  readonly type: number;
  readonly expression: string;
}

/** Writes a FilterExpression. */
export function writeFilter(writer: WireWriter, field: number, filter: FilterName): void {
  const mark = writer.size;
  writer.text(2, filter.expression);
  writer.int(1, filter.type);
  writer.message(field, mark);
}

/** Reads a FilterExpression. */
export function readFilter(reader: WireReader): FilterName {
  const outer = reader.enter();
  let type = 0;
  let expression = '';
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 8) type = reader.int32();
    else if (tag === 18) expression = reader.text('ILLEGAL_FILTER_EXPRESSION');
    else reader.skip(tag);
  }
  reader.leave(outer);
  return { type, expression };
}
