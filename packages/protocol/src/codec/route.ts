import { type Resource } from '../model/message.js';
import { readStatus, type Status, writeStatus } from '../status.js';
import { NO_RESOURCE, readResource, writeResource } from './shared.js';
import { WireReader, WireWriter } from './wire.js';

/** Numbers of the wire enum AddressScheme. */
export const addressScheme = { UNSPECIFIED: 0, IPV4: 1, IPV6: 2, DOMAIN_NAME: 3 } as const;

/** Numbers of the wire enum Permission. Clients refuse routes with 0. */
export const queuePermission = {
  UNSPECIFIED: 0,
  NONE: 1,
  READ: 2,
  WRITE: 3,
  READ_WRITE: 4,
} as const;

/** Addresses that lead to one broker. DOMAIN_NAME has exactly one. */
export interface Endpoints {
  readonly scheme: number;
  readonly addresses: readonly { readonly host: string; readonly port: number }[];
}

/** One queue of a route or an assignment. */
export interface RouteQueue {
  /** The topic as the client spelled it. */
  readonly topic: Resource;
  readonly queueId: number;
  /** A {@link queuePermission}. */
  readonly permission: number;
  readonly brokerName: string;
  /** 0 = the master; clients send to no other. */
  readonly brokerId: number;
  readonly endpoints: Endpoints;
  /** Numbers of MessageType. */
  readonly acceptMessageTypes: readonly number[];
}

/** A QueryRouteRequest, or a QueryAssignmentRequest with its group. */
export interface RouteRequest {
  readonly topic: Resource;
  readonly group: Resource;
  /** What the client was configured with. */
  readonly endpoints: Endpoints;
}

/** A QueryRouteResponse or a QueryAssignmentResponse. */
export interface RouteResponse {
  readonly status: Status;
  readonly queues: readonly RouteQueue[];
}

const NO_ENDPOINTS: Endpoints = { scheme: addressScheme.UNSPECIFIED, addresses: [] };

/** @throws MqError BAD_REQUEST on malformed bytes; ILLEGAL_TOPIC for a name that is no UTF-8 */
export function decodeQueryRouteRequest(frame: Buffer): RouteRequest {
  return decodeRequest(frame, 18, 0);
}

/** @throws MqError BAD_REQUEST on malformed bytes; ILLEGAL_… for a name that is no UTF-8 */
export function decodeQueryAssignmentRequest(frame: Buffer): RouteRequest {
  return decodeRequest(frame, 26, 18);
}

function decodeRequest(frame: Buffer, endpointsTag: number, groupTag: number): RouteRequest {
  const reader = new WireReader(frame);
  let topic = NO_RESOURCE;
  let group = NO_RESOURCE;
  let endpoints = NO_ENDPOINTS;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) topic = readResource(reader, 'ILLEGAL_TOPIC');
    else if (tag === endpointsTag) endpoints = readEndpoints(reader);
    else if (tag === groupTag) group = readResource(reader, 'ILLEGAL_CONSUMER_GROUP');
    else reader.skip(tag);
  }
  return { topic, group, endpoints };
}

/** Encodes a QueryRouteRequest. */
export function encodeQueryRouteRequest(topic: Resource, endpoints: Endpoints): Buffer {
  const writer = new WireWriter(192);
  writeEndpoints(writer, 2, endpoints);
  writeResource(writer, 1, topic);
  return writer.finish();
}

/** Encodes a QueryAssignmentRequest. */
export function encodeQueryAssignmentRequest(request: RouteRequest): Buffer {
  const writer = new WireWriter(192);
  writeEndpoints(writer, 3, request.endpoints);
  writeResource(writer, 2, request.group);
  writeResource(writer, 1, request.topic);
  return writer.finish();
}

/** Encodes a QueryRouteResponse; queues keep their order. */
export function encodeQueryRouteResponse(response: RouteResponse): Buffer {
  const writer = new WireWriter(64 + response.queues.length * 128);
  for (let i = response.queues.length - 1; i >= 0; i--) writeQueue(writer, 2, response.queues[i]!);
  writeStatus(writer, 1, response.status);
  return writer.finish();
}

/** Encodes a QueryAssignmentResponse; queues keep their order. */
export function encodeQueryAssignmentResponse(response: RouteResponse): Buffer {
  const writer = new WireWriter(64 + response.queues.length * 128);
  for (let i = response.queues.length - 1; i >= 0; i--) {
    const mark = writer.size;
    writeQueue(writer, 1, response.queues[i]!);
    writer.message(2, mark);
  }
  writeStatus(writer, 1, response.status);
  return writer.finish();
}

/** Decodes a QueryRouteResponse. @throws MqError BAD_REQUEST on malformed bytes */
export function decodeQueryRouteResponse(frame: Buffer): RouteResponse {
  return decodeResponse(frame, false);
}

/** Decodes a QueryAssignmentResponse. @throws MqError BAD_REQUEST on malformed bytes */
export function decodeQueryAssignmentResponse(frame: Buffer): RouteResponse {
  return decodeResponse(frame, true);
}

function decodeResponse(frame: Buffer, assignments: boolean): RouteResponse {
  const reader = new WireReader(frame);
  let status: Status = { code: 0, message: '' };
  const queues: RouteQueue[] = [];
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) status = readStatus(reader);
    else if (tag === 18) queues.push(assignments ? readAssignment(reader) : readQueue(reader));
    else reader.skip(tag);
  }
  return { status, queues };
}

function readAssignment(reader: WireReader): RouteQueue {
  const outer = reader.enter();
  let queue: RouteQueue = {
    topic: NO_RESOURCE,
    queueId: 0,
    permission: 0,
    brokerName: '',
    brokerId: 0,
    endpoints: NO_ENDPOINTS,
    acceptMessageTypes: [],
  };
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) queue = readQueue(reader);
    else reader.skip(tag);
  }
  reader.leave(outer);
  return queue;
}

function writeQueue(writer: WireWriter, field: number, queue: RouteQueue): void {
  const mark = writer.size;
  if (queue.acceptMessageTypes.length > 0) writer.bytes(5, Buffer.from(queue.acceptMessageTypes));
  const brokerMark = writer.size;
  writeEndpoints(writer, 3, queue.endpoints);
  writer.int(2, queue.brokerId);
  writer.text(1, queue.brokerName);
  writer.message(4, brokerMark);
  writer.int(3, queue.permission);
  writer.int(2, queue.queueId);
  writeResource(writer, 1, queue.topic);
  writer.message(field, mark);
}

function readQueue(reader: WireReader): RouteQueue {
  const outer = reader.enter();
  let topic = NO_RESOURCE;
  let queueId = 0;
  let permission = 0;
  let broker = { brokerName: '', brokerId: 0, endpoints: NO_ENDPOINTS };
  const acceptMessageTypes: number[] = [];
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) topic = readResource(reader, 'ILLEGAL_TOPIC');
    else if (tag === 16) queueId = reader.int32();
    else if (tag === 24) permission = reader.int32();
    else if (tag === 34) broker = readBroker(reader);
    else if (tag === 40) acceptMessageTypes.push(reader.int32());
    else if (tag === 42) readPacked(reader, acceptMessageTypes);
    else reader.skip(tag);
  }
  reader.leave(outer);
  return { topic, queueId, permission, ...broker, acceptMessageTypes };
}

function readPacked(reader: WireReader, into: number[]): void {
  const outer = reader.enter();
  while (!reader.done) into.push(reader.int32());
  reader.leave(outer);
}

function readBroker(reader: WireReader): {
  brokerName: string;
  brokerId: number;
  endpoints: Endpoints;
} {
  const outer = reader.enter();
  let brokerName = '';
  let brokerId = 0;
  let endpoints = NO_ENDPOINTS;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) brokerName = reader.text();
    else if (tag === 16) brokerId = reader.int32();
    else if (tag === 26) endpoints = readEndpoints(reader);
    else reader.skip(tag);
  }
  reader.leave(outer);
  return { brokerName, brokerId, endpoints };
}

function writeEndpoints(writer: WireWriter, field: number, endpoints: Endpoints): void {
  const mark = writer.size;
  for (let i = endpoints.addresses.length - 1; i >= 0; i--) {
    const address = endpoints.addresses[i]!;
    const addressMark = writer.size;
    writer.int(2, address.port);
    writer.text(1, address.host);
    writer.message(2, addressMark);
  }
  writer.int(1, endpoints.scheme);
  writer.message(field, mark);
}

function readEndpoints(reader: WireReader): Endpoints {
  const outer = reader.enter();
  let scheme = 0;
  const addresses: { host: string; port: number }[] = [];
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 8) scheme = reader.int32();
    else if (tag === 18) addresses.push(readAddress(reader));
    else reader.skip(tag);
  }
  reader.leave(outer);
  return { scheme, addresses };
}

function readAddress(reader: WireReader): { host: string; port: number } {
  const outer = reader.enter();
  let host = '';
  let port = 0;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) host = reader.text();
    else if (tag === 16) port = reader.int32();
    else reader.skip(tag);
  }
  reader.leave(outer);
  return { host, port };
}
