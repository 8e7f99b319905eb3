import { describe, expect, test } from '@jest/globals';
import { prepareStoredMessage, StoredView, writeStoredMessage } from '@raftmq/protocol';
import { nameSalt } from './id-hash.js';
import { RecentSends } from './recent-sends.js';

const salt = nameSalt('T');
const seed = Buffer.alloc(8, 3);

function record(messageId: string): StoredView {
  const message = {
    messageId,
    body: Buffer.from('body'),
    tag: 'tag',
    keys: [],
    userProperties: ['name', 'value'],
    messageGroup: null,
    traceContext: null,
    bornTimestampMs: 1,
    bornHost: 'host',
    gzip: false,
  };
  const prepared = prepareStoredMessage(message, 'T');
  const bytes = Buffer.alloc(prepared.sizeBytes);
  const at = { queueId: 0, queueOffset: 0, physicalOffset: 0, storeTimestampMs: 0 };
  writeStoredMessage(bytes, 0, prepared, at);
  const view = new StoredView();
  view.read(bytes, 0, bytes.length);
  return view;
}

/** Positions of a message id within the window. */
function places(recent: RecentSends, messageId: string, nowMs: number): number[] {
  const { high, low } = recent.hashOf(salt, messageId);
  const pairs = recent.places(high, low, nowMs);
  const { sizeBytes } = record(messageId);
  for (let i = 1; i < pairs.length; i += 2) expect(pairs[i]).toBe(sizeBytes);
  expect(recent.has(high, low, nowMs)).toBe(pairs.length > 0);
  return pairs.filter((_, i) => i % 2 === 0);
}

describe('RecentSends', () => {
  test('remembers by topic and id, newest first', () => {
    const recent = new RecentSends({ sendDedupWindowMs: 60_000, sendDedupMax: 4096 }, seed);
    recent.add(salt, record('a'), 2 ** 45, 1000);
    recent.add(salt, record('a'), 2 ** 45 + 500, 1000);
    recent.add(nameSalt('other'), record('a'), 77, 1000);
    recent.add(salt, record(''), 78, 1000);
    expect(places(recent, 'a', 1000)).toEqual([2 ** 45 + 500, 2 ** 45]);
    expect(places(recent, 'b', 1000)).toEqual([]);
    expect(recent.size).toBe(3);
  });

  test('forgets after the window, and not before', () => {
    const recent = new RecentSends({ sendDedupWindowMs: 60_000, sendDedupMax: 4096 }, seed);
    recent.add(salt, record('a'), 1, 1_000_999);
    expect(places(recent, 'a', 1_060_999)).toEqual([1]);
    expect(places(recent, 'a', 1_062_000)).toEqual([]);
  });

  test('takes more memory only while many are within the window, and never more than its limit', () => {
    const recent = new RecentSends({ sendDedupWindowMs: 60_000, sendDedupMax: 10_000 }, seed);
    const small = recent.sizeBytes;
    for (let i = 0; i < 5_000; i++) recent.add(salt, record(`slow${i}`), i, i * 100_000);
    expect(recent.sizeBytes).toBe(small);
    const startMs = 5_000 * 100_000;
    for (let i = 0; i < 5_000; i++) recent.add(salt, record(`fast${i}`), i, startMs);
    for (let i = 0; i < 5_000; i += 7) expect(places(recent, `fast${i}`, startMs)).toEqual([i]);
    for (let i = 5_000; i < 100_000; i++) recent.add(salt, record(`fast${i}`), i, startMs);
    for (let i = 90_001; i < 100_000; i += 11) {
      expect(places(recent, `fast${i}`, startMs)).toEqual([i]);
    }
    expect(places(recent, 'fast50000', startMs)).toEqual([]);
    expect(recent.size).toBe(16_384);
    expect(recent.sizeBytes).toBe(16_384 * 42);
  });

  test('gives memory back when a burst is out of time, and nothing before', () => {
    const recent = new RecentSends({ sendDedupWindowMs: 60_000, sendDedupMax: 100_000 }, seed);
    const small = recent.sizeBytes;
    recent.forgetOld(0);
    for (let i = 0; i < 50_000; i++) recent.add(salt, record(`m${i}`), i, 1_000_000 + i);
    const large = recent.sizeBytes;
    expect(large).toBeGreaterThan(20 * small);
    recent.forgetOld(1_000_000 + 60_000);
    expect(recent.sizeBytes).toBe(large);
    expect(places(recent, 'm49999', 1_049_999)).toEqual([49_999]);
    expect(places(recent, 'm0', 1_000_000)).toEqual([0]);
    recent.forgetOld(1_000_000 + 50_000 + 62_000);
    expect(recent.sizeBytes).toBe(small);
    expect(recent.size).toBe(0);
    recent.add(salt, record('new'), 7, 2_000_000);
    expect(places(recent, 'new', 2_000_000)).toEqual([7]);
  });
});
