import { describe, expect, test } from '@jest/globals';
import { createPrng, isMqError } from '@raftmq/base';
import { ENTRY_HEADER_SIZE_BYTES, entryType, sealEntry, type Entry } from '../core/entry.js';
import { type AppendRequest, type Message } from '../core/types.js';
import { decodeMessage, encodeHead, messageSizeBytes } from './codec.js';
import { CONTROL_SIZE_BYTES_MAX, frameKind, newFrame, sealFrame } from './frame.js';
import { FrameDecoder } from './frame-decoder.js';
import { encodeHello } from './hello.js';

function entry(index: number, term: number, payloadBytes: number): Entry {
  const frame = Buffer.alloc(ENTRY_HEADER_SIZE_BYTES + payloadBytes, index);
  return sealEntry(frame, {
    index,
    term,
    position: 1000 * index,
    type: entryType.records,
    storeTimestampMs: 1,
    recordCount: 1,
  });
}

const BIG = Number.MAX_SAFE_INTEGER;
const append: AppendRequest = {
  kind: 'append-request',
  from: 0,
  to: 2,
  term: 7,
  prevIndex: 40,
  prevTerm: 6,
  commitIndex: 39,
  sentAtMs: 12345.678,
  readRound: 3,
  entries: [entry(41, 6, 0), entry(42, 7, 5000)],
};
const messages: readonly Message[] = [
  {
    kind: 'vote-request',
    from: 0,
    to: 1,
    term: 3,
    pre: true,
    lastIndex: 300,
    lastTerm: 2,
    transfer: false,
  },
  {
    kind: 'vote-request',
    from: 1,
    to: 0,
    term: BIG,
    pre: false,
    lastIndex: BIG,
    lastTerm: BIG - 1,
    transfer: true,
  },
  { kind: 'vote-response', from: 2, to: 1, term: 3, pre: false, granted: true, forgetful: true },
  { kind: 'vote-response', from: 2, to: 1, term: 3, pre: true, granted: false, forgetful: false },
  append,
  { ...append, entries: [], sentAtMs: 0, readRound: 0, prevIndex: 0, prevTerm: 0, commitIndex: 0 },
  {
    kind: 'append-response',
    from: 1,
    to: 0,
    term: 7,
    success: true,
    matchIndex: 128,
    conflictTerm: 0,
    conflictFirstIndex: 0,
    lastIndex: 129,
    sentAtMs: 1e12 + 0.25,
    readRound: BIG,
    recovery: 0,
    forgetful: false,
  },
  {
    kind: 'append-response',
    from: 1,
    to: 0,
    term: 7,
    success: false,
    matchIndex: 0,
    conflictTerm: 4,
    conflictFirstIndex: 16384,
    lastIndex: 20000,
    sentAtMs: 0.5,
    readRound: 0,
    recovery: 4_000_000_000,
    forgetful: true,
  },
  { kind: 'timeout-now', from: 0, to: 1, term: 9 },
  { kind: 'admission', from: 0, to: 1, term: 9, recovery: 4_000_000_000, index: 77 },
];

/** A message as it goes over the wire. */
function encode(message: Message): Buffer {
  const entries = message.kind === 'append-request' ? message.entries : [];
  return Buffer.concat([encodeHead(message), ...entries.map((each) => each.frame)]);
}

/** All messages in `bytes`, handed over in pieces of `pieceBytes`. */
function decode(bytes: Buffer, pieceBytes = bytes.length): Message[] {
  const found: Message[] = [];
  const decoder = new FrameDecoder((kind, control, body) => {
    found.push(decodeMessage(kind, control, body));
  });
  decoder.bodySizeBytesMax = 100_000;
  for (let at = 0; at < bytes.length; at += pieceBytes)
    decoder.push(Buffer.from(bytes.subarray(at, at + pieceBytes)));
  return found;
}

describe.each(messages.map((message, i) => [`${i} ${message.kind}`, message] as const))(
  '%s',
  (_name, message) => {
    test('comes back as it went, in as many bytes as announced', () => {
      const bytes = encode(message);
      expect(bytes.length).toBe(messageSizeBytes(message));
      expect(decode(bytes)).toEqual([message]);
    });

    test('is passed over when a newer version added fields at its end', () => {
      const old = encodeHead(message);
      const grown = newFrame(old[2]!, old.length - 16 + 5, encode(message).length - old.length);
      old.copy(grown, 16, 16);
      grown.fill(0xff, old.length);
      const body = encode(message).subarray(old.length);
      expect(decode(Buffer.concat([sealFrame(grown), body]))).toEqual([message]);
    });
  },
);

test('a stream is cut into its messages, wherever the pieces begin and end', () => {
  const stream = Buffer.concat(messages.map(encode));
  for (const pieceBytes of [1, 2, 3, 7, 15, 16, 17, 61, 1000, 4096, stream.length])
    expect(decode(stream, pieceBytes)).toEqual(messages);
});

test('the body is a Buffer of its own: chunks may be reused', () => {
  const bytes = encode(append);
  const bodies: Buffer[] = [];
  const decoder = new FrameDecoder((_kind, _control, body) => void bodies.push(body));
  decoder.bodySizeBytesMax = 100_000;
  const chunk = Buffer.from(bytes);
  decoder.push(chunk);
  chunk.fill(0);
  expect(bodies[0]!.equals(bytes.subarray(bytes.length - bodies[0]!.length))).toBe(true);
});

test('nothing is passed on after the end, even from the same chunk', () => {
  let frames = 0;
  const decoder: FrameDecoder = new FrameDecoder(() => {
    frames++;
    decoder.end();
  });
  decoder.push(Buffer.concat([encode(messages[0]!), encode(messages[1]!)]));
  decoder.push(encode(messages[1]!));
  expect(frames).toBe(1);
});

function refusal(bytes: Buffer): string {
  try {
    return decode(bytes).length === 0 ? 'incomplete' : 'accepted';
  } catch (error) {
    if (isMqError(error)) return `${error.code}: ${error.message}`;
    throw error;
  }
}

/** The append with other entries; the count in its head is theirs unless told otherwise. */
function withEntries(frames: readonly Buffer[], change: Partial<AppendRequest> = {}): Buffer {
  const entries = frames.map((frame) => ({ ...append.entries[0]!, frame }));
  return encode({ ...append, entries, ...change });
}

function resealed(bytes: Buffer, change: (head: Buffer) => void): Buffer {
  const head = Buffer.from(bytes);
  change(head);
  return sealFrame(head);
}

describe('refuses', () => {
  const good = append.entries.map((each) => each.frame);

  test('entries that are damaged, out of order, or from an impossible term', () => {
    const bent = Buffer.from(good[1]!);
    bent[100]! ^= 1;
    expect(refusal(withEntries([good[0]!, bent]))).toContain('entry 42 is damaged');
    expect(refusal(withEntries([Buffer.alloc(0)]))).toContain('entry 41 is damaged');
    expect(refusal(withEntries([good[0]!.subarray(0, 40)]))).toContain('entry 41 is damaged');
    expect(refusal(withEntries([good[1]!]))).toContain('entry 42 where 41 belongs');
    expect(refusal(withEntries([good[0]!, good[0]!]))).toContain('entry 41 where 42 belongs');
    expect(refusal(withEntries(good, { term: 6 }))).toContain('term 7 between 6 and 6');
    expect(refusal(withEntries(good, { prevTerm: 7 }))).toContain('term 6 between 7 and 7');
  });

  test('bytes behind the last entry, and fewer or far too many entries', () => {
    expect(refusal(withEntries([Buffer.concat([good[0]!, Buffer.alloc(1)])]))).toContain('behind');
    const count = (value: number) => (head: Buffer) => void head.writeUInt32BE(value, 72);
    const head = encodeHead(append);
    const [first, second] = good as [Buffer, Buffer];
    const counted = (value: number): Buffer =>
      Buffer.concat([resealed(head, count(value)), first, second]);
    expect(refusal(counted(2))).toBe('accepted');
    expect(refusal(counted(1))).toContain('behind');
    expect(refusal(counted(3))).toContain('entry 43 is damaged');
    expect(refusal(counted(65_537))).toContain('too many');
  });

  test('numbers beyond 2^53, below 0, and times that are none', () => {
    const head = encodeHead(messages[0]!);
    expect(refusal(resealed(head, (bytes) => void bytes.fill(0xff, 24, 32)))).toContain('2^53');
    expect(refusal(resealed(head, (bytes) => void (bytes[25] = 0x20)))).toContain('2^53');
    expect(refusal(resealed(head, (bytes) => void (bytes[24] = 0x80)))).toContain('2^53');
    const answer = encodeHead(messages[6]!);
    expect(refusal(resealed(answer, (bytes) => void bytes.writeDoubleBE(NaN, 64)))).toContain(
      'not finite',
    );
  });

  test('kinds that it does not know, as a matter of version', () => {
    expect(refusal(sealFrame(newFrame(99, 0, 0)))).toMatch(/^VERSION_UNSUPPORTED: message kind 99/);
  });

  test('a second hello, a body where none belongs, and a control part that ends early', () => {
    const self = {
      cluster: 'c',
      group: 'g',
      nodeId: 0,
      incarnation: 'i',
      session: 's',
      admittedAt: 0,
      starts: 1,
    };
    expect(refusal(encodeHello(self, 1))).toContain('second hello');
    const bodied = Buffer.concat([sealFrame(newFrame(frameKind['timeout-now'], 16, 3)), good[0]!]);
    expect(refusal(bodied)).toContain('has no body');
    expect(refusal(sealFrame(newFrame(frameKind['timeout-now'], 15, 0)))).toContain('ends early');
  });

  test('sizes over the limits, before anything is gathered', () => {
    const body = newFrame(frameKind['append-request'], 0, 100_001);
    expect(refusal(body)).toContain('over the limit of 100000');
    const control = newFrame(frameKind['timeout-now'], 0, 0);
    control.writeUInt32BE(CONTROL_SIZE_BYTES_MAX + 1, 4);
    expect(refusal(control)).toContain('too large');
  });

  test('every changed bit: of the head by its sum, of entries by theirs', () => {
    const bytes = encode({ ...append, entries: [entry(41, 6, 20)] });
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const bent = Buffer.from(bytes);
      bent[bit >> 3]! ^= 1 << (bit & 7);
      expect(refusal(bent)).toMatch(/^BAD_REQUEST|incomplete/);
    }
  });

  test('every truncation, by waiting for the rest', () => {
    for (const message of messages) {
      const bytes = encode(message);
      for (let size = 0; size < Math.min(bytes.length, 300); size++)
        expect(refusal(bytes.subarray(0, size))).toBe('incomplete');
    }
  });
});

test('random damage under a right sum is refused or read, and nothing else happens', () => {
  const prng = createPrng(20);
  let refused = 0;
  for (let round = 0; round < 3_000; round++) {
    const message = prng.pick(messages);
    const head = encodeHead(message);
    for (let i = prng.integer(1, 4); i > 0; i--)
      head[prng.integer(2, head.length - 1)] = prng.integer(0, 255);
    sealFrame(head);
    const entries = message.kind === 'append-request' ? message.entries : [];
    const bytes = Buffer.concat([head, ...entries.map((each) => each.frame)]);
    if (refusal(bytes) !== 'accepted') refused++;
  }
  expect(refused).toBeGreaterThan(1_000);
});
