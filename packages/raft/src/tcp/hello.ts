import { MqError, writeInt64 } from '@raftmq/base';
import { type NodeId } from '../core/types.js';
import { LIFE_TEXT_SIZE_BYTES_MAX, type Life } from '../log/peer-book.js';
import {
  ControlReader,
  FRAME_PREFIX_SIZE_BYTES,
  frameKind,
  newFrame,
  sealFrame,
  textSizeBytes,
  writeText,
} from './frame.js';

/** Protocol versions of this build. A message may change its meaning only with a new version. */
export const PROTOCOL_VERSION_MIN = 1;
export const PROTOCOL_VERSION_MAX = 1;

/** First frame of a connection: who calls, and whom it believes to call. */
export interface Hello extends Life {
  readonly cluster: string;
  readonly group: string;
  readonly from: NodeId;
  readonly to: NodeId;
  readonly versionMin: number;
  readonly versionMax: number;
}

/** The callee's only word. */
export interface HelloAnswer {
  /** '' = accepted; else why not, and what to do. */
  readonly refused: string;
  readonly incarnation: string;
  readonly session: string;
  readonly version: number;
  /** Whether the callee knows the caller as what it is; else the caller has to recover (R22). */
  readonly known: boolean;
  /** Whether the callee has entries. */
  readonly hasLog: boolean;
}

/** Who this replica is. */
export interface Identity extends Life {
  readonly cluster: string;
  readonly group: string;
  readonly nodeId: NodeId;
}

/** @returns the first frame of a connection from `self` to `to` */
export function encodeHello(self: Identity, to: NodeId): Buffer {
  const texts = [self.cluster, self.group, self.incarnation, self.session];
  const frame = newFrame(frameKind.hello, 28 + textsSizeBytes(texts), 0);
  let at = FRAME_PREFIX_SIZE_BYTES;
  at = frame.writeUInt32BE(self.nodeId, at);
  at = frame.writeUInt32BE(to, at);
  at = frame.writeUInt16BE(PROTOCOL_VERSION_MIN, at);
  at = frame.writeUInt16BE(PROTOCOL_VERSION_MAX, at);
  at = writeInt64(frame, self.admittedAt, at);
  at = writeInt64(frame, self.starts, at);
  for (const text of texts) at = writeText(frame, text, at);
  return sealFrame(frame);
}

/** @throws MqError BAD_REQUEST when the frame is no hello */
export function decodeHello(kind: number, control: Buffer): Hello {
  if (kind !== frameKind.hello) throw new MqError('BAD_REQUEST', 'the first frame is no hello');
  const reader = new ControlReader(control);
  const from = reader.uint32();
  const to = reader.uint32();
  const versionMin = reader.uint16();
  const versionMax = reader.uint16();
  const admittedAt = reader.number();
  const starts = reader.number();
  const cluster = reader.text();
  const group = reader.text();
  const incarnation = reader.text();
  const session = reader.text();
  const life = { incarnation, session, admittedAt, starts };
  return { cluster, group, from, to, versionMin, versionMax, ...life };
}

/**
 * Why a hello is refused by itself, whatever else is connected; null = it is one of ours.
 * @param isPeer whether the group has a replica with this number, other than `self`
 */
export function refusalOf(
  hello: Hello,
  self: Identity,
  isPeer: (id: NodeId) => boolean,
): string | null {
  if (hello.cluster !== self.cluster)
    return `this is cluster "${self.cluster}", not "${hello.cluster}": check the cluster name and the peer addresses`;
  if (hello.group !== self.group)
    return `this is group "${self.group}", not "${hello.group}": check the peer addresses`;
  if (hello.to !== self.nodeId)
    return `this is node ${self.nodeId}, not ${hello.to}: check the peer addresses`;
  if (hello.from === self.nodeId)
    return `node ${hello.from} is this node: two processes have the same node id`;
  if (!isPeer(hello.from))
    return `node ${hello.from} is not in the peers list of node ${self.nodeId}`;
  if (hello.session === '') return 'the session is empty';
  // They are kept on disk with the peer, in a record of fixed size.
  for (const text of [hello.incarnation, hello.session]) {
    if (Buffer.byteLength(text) > LIFE_TEXT_SIZE_BYTES_MAX)
      return `an incarnation or a session is longer than ${LIFE_TEXT_SIZE_BYTES_MAX} bytes`;
  }
  if (hello.versionMin > PROTOCOL_VERSION_MAX || hello.versionMax < PROTOCOL_VERSION_MIN) {
    return `VERSION_UNSUPPORTED: the peer speaks raft protocol ${hello.versionMin} to ${hello.versionMax}, this node ${PROTOCOL_VERSION_MIN} to ${PROTOCOL_VERSION_MAX}: upgrade the older one step by step`;
  }
  return null;
}

/** @returns the highest version that both ends speak; only for hellos that were not refused */
export function commonVersion(hello: Hello): number {
  return Math.min(hello.versionMax, PROTOCOL_VERSION_MAX);
}

/** Bits in the answer. */
const KNOWN = 1;
const HAS_LOG = 2;

/** The callee's answer to a hello. */
export function encodeAnswer(answer: HelloAnswer): Buffer {
  const texts = [answer.refused, answer.incarnation, answer.session];
  const frame = newFrame(frameKind.answer, 3 + textsSizeBytes(texts), 0);
  let at = frame.writeUInt16BE(answer.version, FRAME_PREFIX_SIZE_BYTES);
  frame[at++] = (answer.known ? KNOWN : 0) | (answer.hasLog ? HAS_LOG : 0);
  for (const text of texts) at = writeText(frame, text, at);
  return sealFrame(frame);
}

/** @throws MqError BAD_REQUEST when the frame is no answer */
export function decodeAnswer(kind: number, control: Buffer): HelloAnswer {
  if (kind !== frameKind.answer) throw new MqError('BAD_REQUEST', 'the hello was not answered');
  const reader = new ControlReader(control);
  const version = reader.uint16();
  const flags = reader.byte();
  const known = (flags & KNOWN) !== 0;
  const hasLog = (flags & HAS_LOG) !== 0;
  const refused = reader.text();
  const incarnation = reader.text();
  return { refused, incarnation, session: reader.text(), version, known, hasLog };
}

/** Tells a peer over a standing connection that this replica was admitted. */
export function encodeStanding(admittedAt: number): Buffer {
  const frame = newFrame(frameKind.standing, 8, 0);
  writeInt64(frame, admittedAt, FRAME_PREFIX_SIZE_BYTES);
  return sealFrame(frame);
}

/** @throws MqError BAD_REQUEST */
export function decodeStanding(control: Buffer): number {
  return new ControlReader(control).number();
}

function textsSizeBytes(texts: readonly string[]): number {
  let size = 0;
  for (const text of texts) size += textSizeBytes(text);
  return size;
}
