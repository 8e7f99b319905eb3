import { MqError } from '@raftmq/base';
import { readEntry, type Entry } from '../core/entry.js';
import {
  type AppendRequest,
  type AppendResponse,
  type Message,
  type TimeoutNow,
  type VoteRequest,
  type VoteResponse,
} from '../core/types.js';
import {
  bytesFieldSize,
  FieldReader,
  varintFieldSize,
  writeBytesHeader,
  writeDoubleField,
  writeVarintField,
} from './fields.js';

/** Number of each message in `Frame`; proto/raftmq/raft/v1/raft.proto. */
const frameField = {
  hello: 1,
  'vote-request': 2,
  'vote-response': 3,
  'append-request': 4,
  'append-response': 5,
  'timeout-now': 6,
} as const;

/** The messages of the core that travel; hello frames are written by the generic codec, being rare. */
type FrameKind = Message['kind'];

/** Entries in one append, at most: bounds what a frame can make us allocate. */
export const APPEND_ENTRIES_MAX = 65_536;

/** Bytes of `encodeMessage(message)`, without encoding. Exact. */
export function messageSizeBytes(message: Message): number {
  return bytesFieldSize(bodySize(message));
}

/**
 * A message as a `Frame`. Entry frames are copied once, into the Buffer returned, which the caller owns.
 * Plain protobuf: any other codec of raft.proto reads it.
 */
export function encodeMessage(message: Message): Buffer {
  const size = bodySize(message);
  const frame = Buffer.allocUnsafe(bytesFieldSize(size));
  const at = writeBytesHeader(frame, frameField[message.kind], size, 0);
  switch (message.kind) {
    case 'vote-request':
      writeVoteRequest(frame, message, at);
      break;
    case 'vote-response':
      writeVoteResponse(frame, message, at);
      break;
    case 'append-request':
      writeAppendRequest(frame, message, at);
      break;
    case 'append-response':
      writeAppendResponse(frame, message, at);
      break;
    case 'timeout-now':
      writeRouted(frame, message, at);
      break;
  }
  return frame;
}

/**
 * Reads a `Frame` that must hold a message. Entries are views of `frame`, checked against their sums, and follow
 * `prevIndex` without a gap with terms that never go down nor beyond the message's.
 * @throws MqError BAD_REQUEST when the bytes are no such frame, VERSION_UNSUPPORTED for a kind of message or entry that
 * this version does not know (R32)
 */
export function decodeMessage(frame: Buffer): Message {
  const reader = new FieldReader(frame, 0, frame.length);
  const field = reader.next();
  if (field === 0) throw new MqError('BAD_REQUEST', 'not a raft frame: it is empty');
  const kind = kindOf(field);
  const body = reader.message();
  if (reader.next() !== 0)
    throw new MqError('BAD_REQUEST', 'not a raft frame: more than one message');
  switch (kind) {
    case 'vote-request':
      return readVoteRequest(body);
    case 'vote-response':
      return readVoteResponse(body);
    case 'append-request':
      return readAppendRequest(body);
    case 'append-response':
      return readAppendResponse(body);
    case 'timeout-now':
      return readTimeoutNow(body);
  }
}

function kindOf(field: number): FrameKind {
  switch (field) {
    case frameField['vote-request']:
      return 'vote-request';
    case frameField['vote-response']:
      return 'vote-response';
    case frameField['append-request']:
      return 'append-request';
    case frameField['append-response']:
      return 'append-response';
    case frameField['timeout-now']:
      return 'timeout-now';
    case frameField.hello:
      throw new MqError('BAD_REQUEST', 'a second hello on one connection');
    default:
      throw new MqError(
        'VERSION_UNSUPPORTED',
        `message kind ${field}: the peer speaks a newer protocol; upgrade this node`,
      );
  }
}

function routedSize(message: Message): number {
  return (
    varintFieldSize(message.from) + varintFieldSize(message.to) + varintFieldSize(message.term)
  );
}

function bodySize(message: Message): number {
  let size = routedSize(message);
  switch (message.kind) {
    case 'vote-request':
      size += flagSize(message.pre) + varintFieldSize(message.lastIndex);
      return size + varintFieldSize(message.lastTerm) + flagSize(message.transfer);
    case 'vote-response':
      return size + flagSize(message.pre) + flagSize(message.granted);
    case 'append-request':
      size += varintFieldSize(message.prevIndex) + varintFieldSize(message.prevTerm);
      size += varintFieldSize(message.commitIndex) + doubleSize(message.sentAtMs);
      size += varintFieldSize(message.readRound);
      for (const entry of message.entries) size += bytesFieldSize(entry.frame.length);
      return size;
    case 'append-response':
      size += flagSize(message.success) + varintFieldSize(message.matchIndex);
      size += varintFieldSize(message.conflictTerm) + varintFieldSize(message.conflictFirstIndex);
      size += varintFieldSize(message.lastIndex) + doubleSize(message.sentAtMs);
      return size + varintFieldSize(message.readRound);
    case 'timeout-now':
      return size;
  }
}

const flagSize = (value: boolean): number => (value ? 2 : 0);
const doubleSize = (value: number): number => (value === 0 ? 0 : 9);

function writeRouted(into: Buffer, message: Message, at: number): number {
  at = writeVarintField(into, 1, message.from, at);
  at = writeVarintField(into, 2, message.to, at);
  return writeVarintField(into, 3, message.term, at);
}

function writeVoteRequest(into: Buffer, message: VoteRequest, at: number): void {
  at = writeRouted(into, message, at);
  at = writeVarintField(into, 4, message.pre ? 1 : 0, at);
  at = writeVarintField(into, 5, message.lastIndex, at);
  at = writeVarintField(into, 6, message.lastTerm, at);
  writeVarintField(into, 7, message.transfer ? 1 : 0, at);
}

function writeVoteResponse(into: Buffer, message: VoteResponse, at: number): void {
  at = writeRouted(into, message, at);
  at = writeVarintField(into, 4, message.pre ? 1 : 0, at);
  writeVarintField(into, 5, message.granted ? 1 : 0, at);
}

function writeAppendRequest(into: Buffer, message: AppendRequest, at: number): void {
  at = writeRouted(into, message, at);
  at = writeVarintField(into, 4, message.prevIndex, at);
  at = writeVarintField(into, 5, message.prevTerm, at);
  at = writeVarintField(into, 6, message.commitIndex, at);
  at = writeDoubleField(into, 7, message.sentAtMs, at);
  at = writeVarintField(into, 8, message.readRound, at);
  for (const { frame } of message.entries) {
    at = writeBytesHeader(into, 9, frame.length, at);
    frame.copy(into, at);
    at += frame.length;
  }
}

function writeAppendResponse(into: Buffer, message: AppendResponse, at: number): void {
  at = writeRouted(into, message, at);
  at = writeVarintField(into, 4, message.success ? 1 : 0, at);
  at = writeVarintField(into, 5, message.matchIndex, at);
  at = writeVarintField(into, 6, message.conflictTerm, at);
  at = writeVarintField(into, 7, message.conflictFirstIndex, at);
  at = writeVarintField(into, 8, message.lastIndex, at);
  at = writeDoubleField(into, 9, message.sentAtMs, at);
  writeVarintField(into, 10, message.readRound, at);
}

function readVoteRequest(reader: FieldReader): VoteRequest {
  const m = {
    kind: 'vote-request' as const,
    from: 0,
    to: 0,
    term: 0,
    pre: false,
    lastIndex: 0,
    lastTerm: 0,
    transfer: false,
  };
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) m.from = reader.number();
    else if (field === 2) m.to = reader.number();
    else if (field === 3) m.term = reader.number();
    else if (field === 4) m.pre = reader.boolean();
    else if (field === 5) m.lastIndex = reader.number();
    else if (field === 6) m.lastTerm = reader.number();
    else if (field === 7) m.transfer = reader.boolean();
    else reader.skip();
  }
  return m;
}

function readVoteResponse(reader: FieldReader): VoteResponse {
  const m = { kind: 'vote-response' as const, from: 0, to: 0, term: 0, pre: false, granted: false };
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) m.from = reader.number();
    else if (field === 2) m.to = reader.number();
    else if (field === 3) m.term = reader.number();
    else if (field === 4) m.pre = reader.boolean();
    else if (field === 5) m.granted = reader.boolean();
    else reader.skip();
  }
  return m;
}

function readAppendRequest(reader: FieldReader): AppendRequest {
  const frames: Buffer[] = [];
  const m = {
    from: 0,
    to: 0,
    term: 0,
    prevIndex: 0,
    prevTerm: 0,
    commitIndex: 0,
    sentAtMs: 0,
    readRound: 0,
  };
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) m.from = reader.number();
    else if (field === 2) m.to = reader.number();
    else if (field === 3) m.term = reader.number();
    else if (field === 4) m.prevIndex = reader.number();
    else if (field === 5) m.prevTerm = reader.number();
    else if (field === 6) m.commitIndex = reader.number();
    else if (field === 7) m.sentAtMs = reader.double();
    else if (field === 8) m.readRound = reader.number();
    else if (field === 9) frames.push(reader.bytes());
    else reader.skip();
    if (frames.length > APPEND_ENTRIES_MAX)
      throw new MqError('BAD_REQUEST', 'too many entries in one append');
  }
  const entries = readEntries(frames, m.prevIndex, m.prevTerm, m.term);
  return { kind: 'append-request', ...m, entries };
}

function readEntries(
  frames: readonly Buffer[],
  prevIndex: number,
  prevTerm: number,
  term: number,
): Entry[] {
  const entries: Entry[] = [];
  let lastTerm = prevTerm;
  for (const frame of frames) {
    const entry = readEntry(frame);
    const index = prevIndex + entries.length + 1;
    if (entry === null || entry.frame.length !== frame.length)
      throw new MqError('BAD_REQUEST', `entry ${index} is damaged`);
    if (entry.index !== index)
      throw new MqError('BAD_REQUEST', `entry ${entry.index} where ${index} belongs`);
    if (entry.term < lastTerm || entry.term > term)
      throw new MqError(
        'BAD_REQUEST',
        `entry ${index} has term ${entry.term} between ${lastTerm} and ${term}`,
      );
    lastTerm = entry.term;
    entries.push(entry);
  }
  return entries;
}

function readAppendResponse(reader: FieldReader): AppendResponse {
  const m = {
    kind: 'append-response' as const,
    from: 0,
    to: 0,
    term: 0,
    success: false,
    matchIndex: 0,
    conflictTerm: 0,
    conflictFirstIndex: 0,
    lastIndex: 0,
    sentAtMs: 0,
    readRound: 0,
  };
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) m.from = reader.number();
    else if (field === 2) m.to = reader.number();
    else if (field === 3) m.term = reader.number();
    else if (field === 4) m.success = reader.boolean();
    else if (field === 5) m.matchIndex = reader.number();
    else if (field === 6) m.conflictTerm = reader.number();
    else if (field === 7) m.conflictFirstIndex = reader.number();
    else if (field === 8) m.lastIndex = reader.number();
    else if (field === 9) m.sentAtMs = reader.double();
    else if (field === 10) m.readRound = reader.number();
    else reader.skip();
  }
  return m;
}

function readTimeoutNow(reader: FieldReader): TimeoutNow {
  const m = { kind: 'timeout-now' as const, from: 0, to: 0, term: 0 };
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) m.from = reader.number();
    else if (field === 2) m.to = reader.number();
    else if (field === 3) m.term = reader.number();
    else reader.skip();
  }
  return m;
}
