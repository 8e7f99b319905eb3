import { get } from 'node:http';
import { connect, constants } from 'node:http2';
import { type ClusterPlan, type NodePlan } from './plan.js';

/** What a NameServer knows of one broker group. */
export interface GroupSight {
  readonly group: string;
  /** -1 while no leader is known. */
  readonly leaderId: number;
  readonly nodeIds: readonly number[];
}

const PROBE_TIMEOUT_MS = 1_000;
const ANSWER_BYTES_MAX = 1024 * 1024;

/**
 * Whether the cluster serves: every group has a leader that all its replicas are registered with, and every broker
 * calls itself ready. Any failure to ask is "not yet".
 */
export async function clusterServes(plan: ClusterPlan): Promise<boolean> {
  const sights = await askNameServer(plan.namesrv.grpc);
  if (sights === null || !plan.brokers.every((broker) => isRegistered(broker, sights)))
    return false;
  const ready = await Promise.all(plan.brokers.map((broker) => isReady(broker)));
  return ready.every(Boolean);
}

function isRegistered(broker: NodePlan, sights: readonly GroupSight[]): boolean {
  const sight = sights.find((candidate) => candidate.group === broker.group);
  return sight !== undefined && sight.leaderId >= 0 && sight.nodeIds.includes(broker.id);
}

function isReady(broker: NodePlan): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(
      `http://${broker.metrics}/readyz`,
      { agent: false, timeout: PROBE_TIMEOUT_MS },
      (response) => {
        response.resume();
        resolve(response.statusCode === 200);
      },
    );
    request.once('timeout', () => request.destroy(new Error('timeout')));
    request.once('error', () => resolve(false));
  });
}

/**
 * Asks GetCluster with Node's own HTTP/2 client: the supervisor runs as long as the cluster, and must not hold a
 * gRPC library in memory for a handful of calls.
 */
function askNameServer(address: string): Promise<readonly GroupSight[] | null> {
  return new Promise((resolve) => {
    const session = connect(`http://${address}`);
    const finish = (answer: readonly GroupSight[] | null): void => {
      clearTimeout(timer);
      session.destroy();
      resolve(answer);
    };
    const timer = setTimeout(() => finish(null), PROBE_TIMEOUT_MS);
    session.once('error', () => finish(null));
    const stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: '/raftmq.namesrv.v1.NameServer/GetCluster',
      [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
      [constants.HTTP2_HEADER_TE]: 'trailers',
    });
    const parts: Buffer[] = [];
    let size = 0;
    stream.on('data', (part: Buffer) => {
      size += part.length;
      if (size > ANSWER_BYTES_MAX) finish(null);
      else parts.push(part);
    });
    stream.once('error', () => finish(null));
    stream.once('end', () => finish(decodeClusterFrame(Buffer.concat(parts))));
    // One empty message: not compressed, length 0.
    stream.end(Buffer.alloc(5));
  });
}

/**
 * Reads the groups out of a gRPC frame that holds a `raftmq.namesrv.v1.ClusterResponse`.
 * @returns null when it is not one
 */
export function decodeClusterFrame(frame: Buffer): readonly GroupSight[] | null {
  if (frame.length < 5 || frame.length < 5 + frame.readUInt32BE(1)) return null;
  const groups: GroupSight[] = [];
  try {
    for (const field of protoFields(frame.subarray(5, 5 + frame.readUInt32BE(1)))) {
      if (field.number === 1 && field.bytes !== null) groups.push(decodeGroup(field.bytes));
    }
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
  return groups;
}

function decodeGroup(bytes: Buffer): GroupSight {
  let group = '';
  let leaderId = 0;
  const nodeIds: number[] = [];
  for (const field of protoFields(bytes)) {
    if (field.number === 2 && field.bytes !== null) group = field.bytes.toString('utf8');
    if (field.number === 4) leaderId = Number(BigInt.asIntN(64, field.value));
    if (field.number !== 5 || field.bytes === null) continue;
    const id = protoFields(field.bytes).find((inner) => inner.number === 1);
    nodeIds.push(Number(BigInt.asIntN(64, id?.value ?? 0n)));
  }
  return { group, leaderId, nodeIds };
}

interface ProtoField {
  readonly number: number;
  /** Of a varint field. */
  readonly value: bigint;
  /** Of a length-delimited field. */
  readonly bytes: Buffer | null;
}

/** @throws RangeError when `bytes` is cut off or uses a wire type that the answer never has */
function protoFields(bytes: Buffer): readonly ProtoField[] {
  const fields: ProtoField[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes.readUInt8(at++);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError('varint too long');
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const wireType = tag & 7;
    if (wireType !== 0 && wireType !== 2) throw new RangeError(`wire type ${wireType}`);
    const value = varint();
    if (wireType === 2 && at + Number(value) > bytes.length) throw new RangeError('cut off');
    const content = wireType === 2 ? bytes.subarray(at, at + Number(value)) : null;
    at += content?.length ?? 0;
    fields.push({ number: tag >>> 3, value, bytes: content });
  }
  return fields;
}
