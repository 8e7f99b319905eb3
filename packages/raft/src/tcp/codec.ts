import { isMqError, MqError, writeInt64 } from '@raftmq/base';
import { readEntry, type Entry } from '../core/entry.js';
import { APPEND_ENTRIES_MAX } from '../core/replication.js';
import {
  type Admission,
  type AppendRequest,
  type AppendResponse,
  type Message,
  type TimeoutNow,
  type VoteRequest,
  type VoteResponse,
} from '../core/types.js';
import {
  ControlReader,
  FRAME_PREFIX_SIZE_BYTES,
  frameKind,
  malformed,
  newFrame,
  sealFrame,
} from './frame.js';

/** Every message starts with from (4), to (4) and term (8). */
const ROUTED_SIZE_BYTES = 16;

/** Sizes of the control parts as this version writes them. */
const controlSizeBytes = {
  'vote-request': ROUTED_SIZE_BYTES + 17,
  'vote-response': ROUTED_SIZE_BYTES + 1,
  'append-request': ROUTED_SIZE_BYTES + 44,
  'append-response': ROUTED_SIZE_BYTES + 57,
  'timeout-now': ROUTED_SIZE_BYTES,
  admission: ROUTED_SIZE_BYTES + 16,
} as const satisfies Record<Message['kind'], number>;

/** Bits of the last byte of votes and of answers to appends. */
const PRE = 1;
const TRANSFER = 2;
const GRANTED = 2;
const SUCCESS = 1;
/** In answers to votes and to appends. */
const FORGETFUL = 4;

/** Bytes of a message on the wire, its entries included. Exact. */
export function messageSizeBytes(message: Message): number {
  return FRAME_PREFIX_SIZE_BYTES + controlSizeBytes[message.kind] + bodySizeBytes(message);
}

/** The head of a message's frame; the frames of its entries follow it as they are. */
export function encodeHead(message: Message): Buffer {
  const { kind } = message;
  const head = newFrame(frameKind[kind], controlSizeBytes[kind], bodySizeBytes(message));
  head.writeUInt32BE(message.from, FRAME_PREFIX_SIZE_BYTES);
  head.writeUInt32BE(message.to, FRAME_PREFIX_SIZE_BYTES + 4);
  const at = writeInt64(head, message.term, FRAME_PREFIX_SIZE_BYTES + 8);
  switch (kind) {
    case 'vote-request':
      writeVoteRequest(head, message, at);
      break;
    case 'vote-response':
      head[at] =
        (message.pre ? PRE : 0) |
        (message.granted ? GRANTED : 0) |
        (message.forgetful ? FORGETFUL : 0);
      break;
    case 'append-request':
      writeAppendRequest(head, message, at);
      break;
    case 'append-response':
      writeAppendResponse(head, message, at);
      break;
    case 'timeout-now':
      break;
    case 'admission':
      writeInt64(head, message.index, writeInt64(head, message.recovery, at));
      break;
  }
  return sealFrame(head);
}

/**
 * Reads a message. Its entries are views of `body`, checked against their sums, and follow `prevIndex` without a gap,
 * with terms that never go down nor beyond the message's.
 * @throws MqError BAD_REQUEST when the bytes are no such message, VERSION_UNSUPPORTED for a kind of message or entry
 * that this version does not know (R32)
 */
export function decodeMessage(kind: number, control: Buffer, body: Buffer): Message {
  if (body.length > 0 && kind !== frameKind['append-request'])
    throw malformed(`kind ${kind} has no body`);
  const reader = new ControlReader(control);
  switch (kind) {
    case frameKind['vote-request']:
      return readVoteRequest(reader);
    case frameKind['vote-response']:
      return readVoteResponse(reader);
    case frameKind['append-request']:
      return readAppendRequest(reader, body);
    case frameKind['append-response']:
      return readAppendResponse(reader);
    case frameKind['timeout-now']:
      return readTimeoutNow(reader);
    case frameKind.admission:
      return readAdmission(reader);
    case frameKind.hello:
      throw new MqError('BAD_REQUEST', 'a second hello on one connection');
    default:
      throw new MqError(
        'VERSION_UNSUPPORTED',
        `message kind ${kind}: the peer speaks a newer protocol; upgrade this node`,
      );
  }
}

function bodySizeBytes(message: Message): number {
  let size = 0;
  if (message.kind === 'append-request')
    for (const entry of message.entries) size += entry.frame.length;
  return size;
}

function writeVoteRequest(head: Buffer, message: VoteRequest, at: number): void {
  at = writeInt64(head, message.lastIndex, at);
  at = writeInt64(head, message.lastTerm, at);
  head[at] = (message.pre ? PRE : 0) | (message.transfer ? TRANSFER : 0);
}

function writeAppendRequest(head: Buffer, message: AppendRequest, at: number): void {
  at = writeInt64(head, message.prevIndex, at);
  at = writeInt64(head, message.prevTerm, at);
  at = writeInt64(head, message.commitIndex, at);
  at = head.writeDoubleBE(message.sentAtMs, at);
  at = writeInt64(head, message.readRound, at);
  head.writeUInt32BE(message.entries.length, at);
}

function writeAppendResponse(head: Buffer, message: AppendResponse, at: number): void {
  at = writeInt64(head, message.matchIndex, at);
  at = writeInt64(head, message.conflictTerm, at);
  at = writeInt64(head, message.conflictFirstIndex, at);
  at = writeInt64(head, message.lastIndex, at);
  at = head.writeDoubleBE(message.sentAtMs, at);
  at = writeInt64(head, message.readRound, at);
  at = writeInt64(head, message.recovery, at);
  head[at] = (message.success ? SUCCESS : 0) | (message.forgetful ? FORGETFUL : 0);
}

function readVoteRequest(reader: ControlReader): VoteRequest {
  const from = reader.uint32();
  const to = reader.uint32();
  const term = reader.number();
  const lastIndex = reader.number();
  const lastTerm = reader.number();
  const flags = reader.byte();
  const pre = (flags & PRE) !== 0;
  const transfer = (flags & TRANSFER) !== 0;
  return { kind: 'vote-request', from, to, term, pre, lastIndex, lastTerm, transfer };
}

function readVoteResponse(reader: ControlReader): VoteResponse {
  const from = reader.uint32();
  const to = reader.uint32();
  const term = reader.number();
  const flags = reader.byte();
  const pre = (flags & PRE) !== 0;
  const granted = (flags & GRANTED) !== 0;
  const forgetful = (flags & FORGETFUL) !== 0;
  return { kind: 'vote-response', from, to, term, pre, granted, forgetful };
}

function readAppendRequest(reader: ControlReader, body: Buffer): AppendRequest {
  const from = reader.uint32();
  const to = reader.uint32();
  const term = reader.number();
  const prevIndex = reader.number();
  const prevTerm = reader.number();
  const commitIndex = reader.number();
  const sentAtMs = reader.double();
  const readRound = reader.number();
  const entryCount = reader.uint32();
  const entries = readEntries(body, entryCount, prevIndex, prevTerm, term);
  return {
    kind: 'append-request',
    from,
    to,
    term,
    prevIndex,
    prevTerm,
    commitIndex,
    entries,
    sentAtMs,
    readRound,
  };
}

function readEntries(
  body: Buffer,
  entryCount: number,
  prevIndex: number,
  prevTerm: number,
  term: number,
): Entry[] {
  if (entryCount > APPEND_ENTRIES_MAX)
    throw new MqError('BAD_REQUEST', 'too many entries in one append');
  const entries: Entry[] = [];
  let lastTerm = prevTerm;
  let at = 0;
  for (let i = 1; i <= entryCount; i++) {
    const index = prevIndex + i;
    const entry = readSoundEntry(body.subarray(at), index);
    if (entry.index !== index)
      throw new MqError('BAD_REQUEST', `entry ${entry.index} where ${index} belongs`);
    if (entry.term < lastTerm || entry.term > term)
      throw new MqError(
        'BAD_REQUEST',
        `entry ${index} has term ${entry.term} between ${lastTerm} and ${term}`,
      );
    lastTerm = entry.term;
    at += entry.frame.length;
    entries.push(entry);
  }
  if (at !== body.length) throw malformed('there are bytes behind the last entry');
  return entries;
}

/** One bad frame must not be able to stop this process, so whatever reading it throws is the sender's fault. */
function readSoundEntry(bytes: Buffer, index: number): Entry {
  let entry: Entry | null;
  try {
    entry = readEntry(bytes);
  } catch (error) {
    if (isMqError(error)) throw error;
    entry = null;
  }
  if (entry === null) throw new MqError('BAD_REQUEST', `entry ${index} is damaged`);
  return entry;
}

function readAppendResponse(reader: ControlReader): AppendResponse {
  const from = reader.uint32();
  const to = reader.uint32();
  const term = reader.number();
  const matchIndex = reader.number();
  const conflictTerm = reader.number();
  const conflictFirstIndex = reader.number();
  const lastIndex = reader.number();
  const sentAtMs = reader.double();
  const readRound = reader.number();
  const recovery = reader.number();
  const flags = reader.byte();
  const success = (flags & SUCCESS) !== 0;
  const forgetful = (flags & FORGETFUL) !== 0;
  return {
    kind: 'append-response',
    from,
    to,
    term,
    success,
    matchIndex,
    conflictTerm,
    conflictFirstIndex,
    lastIndex,
    sentAtMs,
    readRound,
    recovery,
    forgetful,
  };
}

function readTimeoutNow(reader: ControlReader): TimeoutNow {
  return {
    kind: 'timeout-now',
    from: reader.uint32(),
    to: reader.uint32(),
    term: reader.number(),
  };
}

function readAdmission(reader: ControlReader): Admission {
  return {
    kind: 'admission',
    from: reader.uint32(),
    to: reader.uint32(),
    term: reader.number(),
    recovery: reader.number(),
    index: reader.number(),
  };
}
