import { type Resource } from '../model/message.js';
import { readStatus, type Status } from '../status.js';
import { readResource, writeResource } from './shared.js';
import { WireReader, WireWriter } from './wire.js';

/** Numbers of the wire enum ClientType. */
export const clientType = {
  UNSPECIFIED: 0,
  PRODUCER: 1,
  PUSH_CONSUMER: 2,
  SIMPLE_CONSUMER: 3,
  PULL_CONSUMER: 4,
  LITE_PUSH_CONSUMER: 5,
  LITE_SIMPLE_CONSUMER: 6,
} as const;

/** A HeartbeatRequest. */
export interface HeartbeatRequest {
  /** Consumers name their group. */
  readonly group: Resource | null;
  /** A {@link clientType}, or a number that we do not know. */
  readonly clientType: number;
}

/** @throws MqError BAD_REQUEST on malformed bytes; ILLEGAL_CONSUMER_GROUP for a name that is no UTF-8 */
export function decodeHeartbeatRequest(frame: Buffer): HeartbeatRequest {
  const reader = new WireReader(frame);
  let group: Resource | null = null;
  let type = 0;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) group = readResource(reader, 'ILLEGAL_CONSUMER_GROUP');
    else if (tag === 16) type = reader.int32();
    else reader.skip(tag);
  }
  return { group, clientType: type };
}

/** Encodes a HeartbeatRequest. */
export function encodeHeartbeatRequest(request: HeartbeatRequest): Buffer {
  const writer = new WireWriter(64);
  writer.int(2, request.clientType);
  if (request.group !== null) writeResource(writer, 1, request.group);
  return writer.finish();
}

/**
 * Reads the group of a NotifyClientTerminationRequest; null when the client is no consumer.
 *
 * @throws MqError as {@link decodeHeartbeatRequest}
 */
export function decodeNotifyClientTerminationRequest(frame: Buffer): Resource | null {
  return decodeHeartbeatRequest(frame).group;
}

/** Encodes a NotifyClientTerminationRequest. */
export function encodeNotifyClientTerminationRequest(group: Resource | null): Buffer {
  return encodeHeartbeatRequest({ group, clientType: 0 });
}

/** Reads the status of a response that has nothing else, or whose rest does not matter. */
export function decodeStatusResponse(frame: Buffer): Status {
  const reader = new WireReader(frame);
  let status: Status = { code: 0, message: '' };
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) status = readStatus(reader);
    else reader.skip(tag);
  }
  return status;
}
