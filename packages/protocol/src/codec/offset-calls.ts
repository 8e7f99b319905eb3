import { type Resource } from '../model/message.js';
import { readStatus, type Status, writeStatus } from '../status.js';
import {
  type FilterName,
  type QueueName,
  readFilter,
  readQueueName,
  writeFilter,
  writeQueueName,
} from './receive-request.js';
import { NO_RESOURCE, readResource, writeResource } from './shared.js';
import { WireReader, WireWriter } from './wire.js';

/** Numbers of the wire enum QueryOffsetPolicy. */
export const queryOffsetPolicy = { BEGINNING: 0, END: 1, TIMESTAMP: 2 } as const;

/** A PullMessageRequest as it came. The queue is meant: its id and its broker's name count. */
export interface PullMessageRequest {
  readonly group: Resource;
  readonly topic: Resource;
  readonly brokerName: string;
  readonly queueId: number;
  readonly offset: number;
  readonly batchSize: number;
  readonly filterType: number;
  readonly filterExpression: string;
  readonly longPollingMs: number | null;
}

/** An UpdateOffsetRequest, or a GetOffsetRequest, which has no offset (0). */
export interface GroupOffsetRequest {
  readonly group: Resource;
  readonly topic: Resource;
  readonly brokerName: string;
  readonly queueId: number;
  readonly offset: number;
}

export interface QueryOffsetRequest {
  readonly topic: Resource;
  readonly brokerName: string;
  readonly queueId: number;
  /** A {@link queryOffsetPolicy}, or a number that we do not know. */
  readonly policy: number;
  readonly timestampMs: number | null;
}

/** A GetOffsetResponse or a QueryOffsetResponse. */
export interface OffsetResponse {
  readonly status: Status;
  readonly offset: number;
}

const NO_QUEUE: QueueName = { topic: NO_RESOURCE, queueId: 0, brokerName: '' };
const NO_FILTER: FilterName = { type: 0, expression: '' };

/** @throws MqError BAD_REQUEST on malformed bytes; ILLEGAL_… for a name that is no UTF-8 */
export function decodePullMessageRequest(frame: Buffer): PullMessageRequest {
  const reader = new WireReader(frame);
  let group = NO_RESOURCE;
  let queue = NO_QUEUE;
  let filter = NO_FILTER;
  let offset = 0;
  let batchSize = 0;
  let longPollingMs: number | null = null;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) group = readResource(reader, 'ILLEGAL_CONSUMER_GROUP');
    else if (tag === 18) queue = readQueueName(reader);
    else if (tag === 24) offset = reader.int64();
    else if (tag === 32) batchSize = reader.int32();
    else if (tag === 42) filter = readFilter(reader);
    else if (tag === 50) longPollingMs = reader.timeMs();
    else reader.skip(tag);
  }
  return {
    group,
    topic: queue.topic,
    brokerName: queue.brokerName,
    queueId: queue.queueId,
    offset,
    batchSize,
    filterType: filter.type,
    filterExpression: filter.expression,
    longPollingMs,
  };
}

/** Encodes a PullMessageRequest. */
export function encodePullMessageRequest(request: PullMessageRequest): Buffer {
  const writer = new WireWriter(160);
  if (request.longPollingMs !== null) writer.timeMs(6, request.longPollingMs);
  writeFilter(writer, 5, { type: request.filterType, expression: request.filterExpression });
  writer.int(4, request.batchSize);
  writer.int(3, request.offset);
  writeQueueName(writer, 2, request);
  writeResource(writer, 1, request.group);
  return writer.finish();
}

/** Reads an UpdateOffsetRequest or a GetOffsetRequest. @throws MqError as {@link decodePullMessageRequest} */
export function decodeGroupOffsetRequest(frame: Buffer): GroupOffsetRequest {
  const reader = new WireReader(frame);
  let group = NO_RESOURCE;
  let queue = NO_QUEUE;
  let offset = 0;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) group = readResource(reader, 'ILLEGAL_CONSUMER_GROUP');
    else if (tag === 18) queue = readQueueName(reader);
    else if (tag === 24) offset = reader.int64();
    else reader.skip(tag);
  }
  const { topic, queueId, brokerName } = queue;
  return { group, topic, brokerName, queueId, offset };
}

/** Encodes an UpdateOffsetRequest; with offset 0 the bytes are those of a GetOffsetRequest, too. */
export function encodeGroupOffsetRequest(request: GroupOffsetRequest): Buffer {
  const writer = new WireWriter(128);
  writer.int(3, request.offset);
  writeQueueName(writer, 2, request);
  writeResource(writer, 1, request.group);
  return writer.finish();
}

/** @throws MqError as {@link decodePullMessageRequest} */
export function decodeQueryOffsetRequest(frame: Buffer): QueryOffsetRequest {
  const reader = new WireReader(frame);
  let queue = NO_QUEUE;
  let policy = 0;
  let timestampMs: number | null = null;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) queue = readQueueName(reader);
    else if (tag === 16) policy = reader.int32();
    else if (tag === 26) timestampMs = reader.timeMs();
    else reader.skip(tag);
  }
  const { topic, queueId, brokerName } = queue;
  return { topic, brokerName, queueId, policy, timestampMs };
}

/** Encodes a QueryOffsetRequest. */
export function encodeQueryOffsetRequest(request: QueryOffsetRequest): Buffer {
  const writer = new WireWriter(96);
  if (request.timestampMs !== null) writer.timeMs(3, request.timestampMs);
  writer.int(2, request.policy);
  writeQueueName(writer, 1, request);
  return writer.finish();
}

/** Encodes a GetOffsetResponse or a QueryOffsetResponse. */
export function encodeOffsetResponse(response: OffsetResponse): Buffer {
  const writer = new WireWriter(64);
  writer.int(2, response.offset);
  writeStatus(writer, 1, response.status);
  return writer.finish();
}

/** Decodes a GetOffsetResponse or a QueryOffsetResponse. @throws MqError BAD_REQUEST on malformed bytes */
export function decodeOffsetResponse(frame: Buffer): OffsetResponse {
  const reader = new WireReader(frame);
  let status: Status = { code: 0, message: '' };
  let offset = 0;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) status = readStatus(reader);
    else if (tag === 16) offset = reader.int64();
    else reader.skip(tag);
  }
  return { status, offset };
}

/** The part of a PullMessage answer that says where to go on; also when it is 0. */
export function encodePullNextOffset(nextOffset: number): Buffer {
  const writer = new WireWriter(12);
  writer.presentInt(3, nextOffset);
  return writer.finish();
}
