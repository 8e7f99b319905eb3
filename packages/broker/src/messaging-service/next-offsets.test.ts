import { describe, expect, test } from '@jest/globals';
import { MemoryStateStore } from '../testing/single-node.js';
import { Tables, TopicRow } from '../state/tables.js';
import { NextOffsets } from './next-offsets.js';

describe('the offsets that sealed messages get', () => {
  test('go on behind what is applied', () => {
    const tables = new Tables(new MemoryStateStore());
    const topic = new TopicRow({ name: 'T', type: 'NORMAL', queues: 2, permission: 6 }, 1);
    tables.putTopic(topic);
    tables.queue(topic, 0).endOffset = 5;
    const offsets = new NextOffsets(tables);
    offsets.topicPut('T');
    expect([offsets.take('T', 0, 3), offsets.take('T', 0, 1), offsets.take('T', 1, 1)]).toEqual([
      5, 8, 0,
    ]);
    offsets.topicDeleted('T');
    offsets.take('T', 0, 4);
    offsets.topicPut('T');
    expect([offsets.take('T', 0, 1), offsets.take('T', 0, 1)]).toEqual([0, 1]);
  });

  test('begin at 0 in a topic made after messages for it were sealed that will be dropped', () => {
    const offsets = new NextOffsets(new Tables(new MemoryStateStore()));
    offsets.take('T', 0, 3);
    offsets.topicPut('T');
    expect(offsets.take('T', 0, 1)).toBe(0);
    // The topic is there as far as the log goes, though not applied: putting it again changes nothing.
    offsets.topicPut('T');
    expect(offsets.take('T', 0, 1)).toBe(1);
  });

  test('go on when a new topic is put twice before it is applied', () => {
    const offsets = new NextOffsets(new Tables(new MemoryStateStore()));
    offsets.topicPut('T');
    expect(offsets.take('T', 0, 2)).toBe(0);
    offsets.topicPut('T');
    expect(offsets.take('T', 0, 1)).toBe(2);
  });
});
