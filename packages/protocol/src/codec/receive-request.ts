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
  let filter = { type: 0, expression: '' };
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
  const filterMark = writer.size;
  writer.text(2, request.filterExpression);
  writer.int(1, request.filterType);
  writer.message(3, filterMark);
  const queueMark = writer.size;
  const brokerMark = writer.size;
  writer.text(1, request.brokerName);
  writer.message(4, brokerMark);
  writer.int(2, request.queueId);
  writeResource(writer, 1, request.topic);
  writer.message(2, queueMark);
  writeResource(writer, 1, request.group);
  return writer.finish();
}

function readQueueName(reader: WireReader): QueueName {
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

function readFilter(reader: WireReader): { type: number; expression: string } {
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
