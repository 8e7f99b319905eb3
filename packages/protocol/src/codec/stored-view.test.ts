import { describe, expect, test } from '@jest/globals';
import { createPrng } from '@raftmq/base';
import { javaStringHashCode } from '../model/fifo-queue.js';
import { type PublishMessage } from '../model/message.js';
import {
  storedLiteTopic,
  storedMessageId,
  storedProperty,
  storedQueueId,
  storedQueueOffset,
  storedTag,
  storedTopic,
} from './stored-fields.js';
import { parseStoredHost } from './stored-host.js';
import { prepareStoredMessage, writeStoredMessage } from './stored-message.js';
import { StoredView } from './stored-view.js';

const plain: PublishMessage = {
  messageId: 'ID',
  body: Buffer.from('body'),
  tag: null,
  keys: [],
  userProperties: [],
  messageGroup: null,
  traceContext: null,
  bornTimestampMs: 1,
  bornHost: '10.0.0.1:1',
  gzip: false,
};

const ipv6 = parseStoredHost('[fe80::1]:10911');

/** A record in the middle of other bytes, as it lies in a frame. */
function placed(message: PublishMessage, topic: string, before: number, more: string[] = []) {
  const prepared = prepareStoredMessage(message, topic, {
    brokerProperties: more,
    ...(before % 2 === 0 ? {} : { storeHost: ipv6 }),
  });
  const bytes = Buffer.alloc(before + prepared.sizeBytes + 9, 0x55);
  const placement = { queueId: 7, queueOffset: 2 ** 40 + before, physicalOffset: 9 };
  writeStoredMessage(bytes, before, prepared, { ...placement, storeTimestampMs: 5 });
  return { bytes, at: before, sizeBytes: prepared.sizeBytes };
}

const text = (view: StoredView, start: number, end: number): string | null =>
  start === end ? null : view.bytes.toString('utf8', start, end);

describe('StoredView', () => {
  test('finds what the single readers find, for messages of every shape', () => {
    const random = createPrng(5);
    const words = ['', 'a', 'tag', 'ключ', '键', 'x'.repeat(300), 'KEYS', 'TAGS', '\u007f'];
    const word = (): string => random.pick(words);
    const view = new StoredView();
    for (let round = 0; round < 2_000; round++) {
      const tag = word();
      const message: PublishMessage = {
        ...plain,
        messageId: word(),
        body: Buffer.alloc(random.integer(0, 49), 2),
        tag: tag === '' ? null : tag,
        keys: Array.from({ length: random.integer(0, 3) }, () => word() || 'k'),
        userProperties: Array.from({ length: 2 * random.integer(0, 3) }, () => word() || 'p'),
        messageGroup: random.chance(0.5) ? null : word() || 'g',
        ...(random.chance(0.5) ? {} : { liteTopic: word() || 'l' }),
      };
      const topic = random.pick(['T', 'other', 'x'.repeat(127)]);
      const { bytes, at, sizeBytes } = placed(message, topic, random.integer(0, 39));
      const record = bytes.subarray(at, at + sizeBytes);
      view.read(bytes, at, sizeBytes);
      expect(view.topic()).toBe(storedTopic(record));
      expect(view.queueId).toBe(storedQueueId(record));
      expect(view.queueOffset).toBe(storedQueueOffset(record));
      expect(text(view, view.idStart, view.idEnd)).toBe(storedMessageId(record));
      expect(text(view, view.tagStart, view.tagEnd)).toBe(storedTag(record));
      expect(view.tagHash()).toBe(javaStringHashCode(storedTag(record) ?? ''));
      expect(view.liteTopic()).toBe(storedLiteTopic(record));
      const exact = storedProperty(record, '__RAFTMQ_KEYS');
      expect(view.keysExact).toBe(exact !== null);
      const keys = exact ?? storedProperty(record, 'KEYS');
      expect(text(view, view.keysStart, view.keysEnd)).toBe(keys);
    }
  });

  test('tells topics apart that share a beginning', () => {
    const view = new StoredView();
    const { bytes, at, sizeBytes } = placed(plain, 'orders', 3);
    view.read(bytes, at, sizeBytes);
    expect(view.isOfTopic('orders')).toBe(true);
    for (const other of ['order', 'orders2', 'ordert', 'Orders', '']) {
      expect(view.isOfTopic(other)).toBe(false);
    }
  });

  test('forgets the message before', () => {
    const view = new StoredView();
    const rich = { ...plain, tag: 't', keys: ['a b', 'c'], liteTopic: 'l' };
    for (const message of [rich, { ...plain, messageId: '' }]) {
      const { bytes, at, sizeBytes } = placed(message, 'T', 1);
      view.read(bytes, at, sizeBytes);
    }
    expect([view.idStart, view.idEnd, view.tagEnd, view.keysEnd, view.liteEnd]).toEqual([
      0, 0, 0, 0, 0,
    ]);
    expect(view.keysExact).toBe(false);
  });

  test('of equal names the last one with a value counts', () => {
    const view = new StoredView();
    const more = ['TAGS', 'first', 'TAGS', 'second', 'TAGS', ''];
    const { bytes, at, sizeBytes } = placed(plain, 'T', 0, more);
    view.read(bytes, at, sizeBytes);
    expect(text(view, view.tagStart, view.tagEnd)).toBe('second');
  });

  test('a record whose parts do not fit is a broken promise of the log', () => {
    const { bytes, at, sizeBytes } = placed(plain, 'T', 0);
    const view = new StoredView();
    expect(() => view.read(bytes, at, sizeBytes - 20)).toThrow('inside the record');
  });
});
