import { describe, expect, test } from '@jest/globals';
import { createPrng, isMqError } from '@raftmq/base';
import { loadMessage } from '@raftmq/rpc';
import { ENTRY_HEADER_SIZE_BYTES, entryType, sealEntry, type Entry } from '../core/entry.js';
import { type AppendRequest, type Message } from '../core/types.js';
import { decodeMessage, encodeMessage, messageSizeBytes } from './codec.js';
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
  { kind: 'vote-response', from: 2, to: 1, term: 3, pre: false, granted: true },
  { kind: 'vote-response', from: 2, to: 1, term: 3, pre: true, granted: false },
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
  },
  { kind: 'timeout-now', from: 0, to: 1, term: 9 },
];

const generic = loadMessage<Record<string, unknown>>('raftmq.raft.v1.Frame');

/** `append-request` as the generic codec names it: `appendRequest`. */
function key(kind: string): string {
  return kind.replace(/-(.)/g, (_all, letter: string) => letter.toUpperCase());
}

/** A message as the generic codec shows it. */
function plain(message: Message): Record<string, unknown> {
  const { kind: _kind, ...rest } = message;
  return 'entries' in rest ? { ...rest, entries: rest.entries.map((each) => each.frame) } : rest;
}

describe.each(messages.map((message, i) => [`${i} ${message.kind}`, message] as const))(
  '%s',
  (_name, message) => {
    test('comes back as it went, in as many bytes as announced', () => {
      const frame = encodeMessage(message);
      expect(frame.length).toBe(messageSizeBytes(message));
      expect(decodeMessage(frame)).toEqual(message);
    });

    test('is what the generic codec reads and writes', () => {
      expect(generic.decode(encodeMessage(message))[key(message.kind)]).toEqual(plain(message));
      expect(decodeMessage(generic.encode({ [key(message.kind)]: plain(message) }))).toEqual(
        message,
      );
    });
  },
);

function refusal(frame: Buffer): string {
  try {
    decodeMessage(frame);
  } catch (error) {
    if (isMqError(error)) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'accepted';
}

function withEntries(entries: readonly Buffer[], change: object = {}): Buffer {
  return generic.encode({ appendRequest: { ...plain(append), entries, ...change } });
}

describe('refuses', () => {
  const good = append.entries.map((each) => each.frame);

  test('entries that are damaged, out of order, or from an impossible term', () => {
    const bent = Buffer.from(good[1]!);
    bent[100]! ^= 1;
    expect(refusal(withEntries([good[0]!, bent]))).toContain('entry 42 is damaged');
    expect(refusal(withEntries([Buffer.concat([good[0]!, Buffer.alloc(1)])]))).toContain(
      'entry 41 is damaged',
    );
    expect(refusal(withEntries([Buffer.alloc(0)]))).toContain('entry 41 is damaged');
    expect(refusal(withEntries([good[1]!]))).toContain('entry 42 where 41 belongs');
    expect(refusal(withEntries([good[0]!, good[0]!]))).toContain('entry 41 where 42 belongs');
    expect(refusal(withEntries(good, { term: 6 }))).toContain('term 7 between 6 and 6');
    expect(refusal(withEntries(good, { prevTerm: 7 }))).toContain('term 6 between 7 and 7');
  });

  test('numbers beyond 2^53', () => {
    const tooBig = Buffer.from('120a18ffffffffffffffffff01', 'hex');
    tooBig[1] = tooBig.length - 2;
    expect(refusal(tooBig)).toContain('beyond 2^53');
  });

  test('kinds that it does not know, as a matter of version', () => {
    expect(refusal(Buffer.from([(9 << 3) | 2, 0]))).toMatch(/^VERSION_UNSUPPORTED: message kind 9/);
  });

  test('a second hello, two messages at once, and nothing at all', () => {
    const self = { cluster: 'c', group: 'g', nodeId: 0, incarnation: 'i', session: 's' };
    expect(refusal(encodeHello(self, 1))).toContain('second hello');
    const once = encodeMessage(messages[8]!);
    expect(refusal(Buffer.concat([once, once]))).toContain('more than one message');
    expect(refusal(Buffer.alloc(0))).toContain('empty');
  });

  test('every truncation', () => {
    for (const message of messages) {
      const frame = encodeMessage(message);
      for (let size = 0; size < Math.min(frame.length, 300); size++)
        expect(refusal(frame.subarray(0, size))).toContain('BAD_REQUEST');
    }
  });
});

test('passes over fields that a newer version added', () => {
  const frame = encodeMessage(messages[8]!);
  // Numbers 11 (varint), 12 (8 bytes), 13 (3 bytes of text) and 14 (4 bytes) behind the known ones.
  const added = Buffer.from('5805610000000000000000' + '6a03616263' + '7500000000', 'hex');
  const grown = Buffer.concat([
    frame.subarray(0, 1),
    Buffer.from([frame[1]! + added.length]),
    frame.subarray(2),
    added,
  ]);
  expect(decodeMessage(grown)).toEqual(messages[8]);
});

test('random damage is refused or read, and nothing else happens', () => {
  const prng = createPrng(20);
  let refused = 0;
  for (let round = 0; round < 3_000; round++) {
    const frame = encodeMessage(prng.pick(messages));
    for (let i = prng.integer(1, 4); i > 0; i--)
      frame[prng.integer(0, Math.min(frame.length - 1, 200))] = prng.integer(0, 255);
    if (refusal(frame) !== 'accepted') refused++;
  }
  expect(refused).toBeGreaterThan(1_000);
});
