import { expect, test } from '@jest/globals';
import {
  acceptedMessageTypes,
  messageType,
  parseTopicType,
  topicAccepts,
  topicTypeFor,
  topicTypes,
} from './topic.js';

test('a route never lists an unspecified type, and never none', () => {
  for (const type of topicTypes) {
    expect(acceptedMessageTypes(type).length).toBeGreaterThan(0);
    expect(acceptedMessageTypes(type)).not.toContain(0);
  }
  expect(acceptedMessageTypes('MIXED')).toEqual([1, 2, 3, 4]);
});

test('every message type has its own topic type', () => {
  for (const type of Object.values(messageType)) {
    const own = topicTypeFor(type);
    expect(topicTypes.filter((topic) => topicAccepts(topic, type))).toEqual(
      expect.arrayContaining([own, 'MIXED']),
    );
    expect(topicTypes.filter((topic) => topicAccepts(topic, type))).toHaveLength(2);
  }
});

test('topic types are read from text', () => {
  expect(parseTopicType('FIFO')).toBe('FIFO');
  for (const text of ['fifo', '', 'UNSPECIFIED', 'constructor'])
    expect(parseTopicType(text)).toBeNull();
});
