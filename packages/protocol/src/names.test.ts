import { describe, expect, test } from '@jest/globals';
import {
  checkGroupName,
  checkTopicName,
  deadLetterTopic,
  isBlank,
  isGroupTopic,
  measureText,
  resolveGroup,
  resolveTopic,
  splitFullName,
  topicNotFound,
} from './names.js';

const illegalTopic = expect.objectContaining({ code: 'ILLEGAL_TOPIC' });
const illegalGroup = expect.objectContaining({ code: 'ILLEGAL_CONSUMER_GROUP' });
const wrong = [
  '',
  ' ',
  '../../etc',
  'a/b',
  'a b',
  'a.b',
  'ü',
  '😀',
  'a\0',
  'a\n',
  '\ud800',
  'a%00\x00',
];

describe('topic names', () => {
  test.each([
    'a',
    'A-z_0|9%',
    'constructor',
    '__proto__',
    '%RETRY%g',
    '%DLQ%g',
    '%00',
    'x'.repeat(127),
  ])('%j is legal', (name) => {
    expect(() => checkTopicName(name)).not.toThrow();
  });
  test.each([...wrong, 'x'.repeat(128), 'TBW102', 'BenchmarkTest', 'rmq_sys_anything'])(
    '%j is not',
    (name) => {
      expect(() => checkTopicName(name)).toThrow(illegalTopic);
    },
  );
});

describe('group names', () => {
  test.each(['g', 'x'.repeat(120), '__proto__'])('%j is legal', (name) => {
    expect(() => checkGroupName(name)).not.toThrow();
  });
  test.each([...wrong, 'x'.repeat(121), 'TOOLS_CONSUMER', 'CID_RMQ_SYS_X'])('%j is not', (name) => {
    expect(() => checkGroupName(name)).toThrow(illegalGroup);
  });
});

describe('namespaces', () => {
  test.each([
    ['', '', 't', 't'],
    ['ns', '', 't', 'ns%t'],
    ['', 'header', 't', 'header%t'],
    ['ns', 'header', 't', 'ns%t'],
    ['ns', '', 'ns%t', 'ns%t'],
    ['ns', '', '%DLQ%g', '%DLQ%ns%g'],
    ['ns', '', '%RETRY%ns%g', '%RETRY%ns%g'],
  ])('resource %j, header %j, name %j is %j', (namespace, header, name, full) => {
    expect(resolveTopic({ namespace, name }, header)).toBe(full);
    expect(resolveGroup({ namespace, name }, header)).toBe(full);
  });

  test('a full name splits back', () => {
    expect(splitFullName('ns%t')).toEqual({ namespace: 'ns', name: 't' });
    expect(splitFullName('%DLQ%ns%g')).toEqual({ namespace: 'ns', name: '%DLQ%g' });
    for (const plain of ['t', '%RETRY%g', '%odd', ''])
      expect(splitFullName(plain)).toEqual({ namespace: '', name: plain });
  });

  test('have their own charset, and count for the length', () => {
    for (const namespace of ['a%b', 'a b', 'ü', '|']) {
      expect(() => resolveTopic({ namespace, name: 't' })).toThrow(illegalTopic);
      expect(() => resolveGroup({ namespace: '', name: 'g' }, namespace)).toThrow(illegalGroup);
    }
    expect(() => resolveTopic({ namespace: 'n'.repeat(10), name: 'x'.repeat(117) })).toThrow(
      illegalTopic,
    );
    expect(() => resolveGroup({ namespace: 'n'.repeat(10), name: 'x'.repeat(110) })).toThrow(
      illegalGroup,
    );
    expect(resolveTopic({ namespace: 'n'.repeat(10), name: 'x'.repeat(116) })).toHaveLength(127);
  });

  test('a system topic stays one inside a namespace', () => {
    expect(() => resolveTopic({ namespace: 'ns', name: 'TBW102' })).toThrow(illegalTopic);
  });
});

describe('measureText', () => {
  test('is the UTF-8 length of legal texts', () => {
    for (const text of [
      '',
      'abc',
      '~',
      '\u00a0',
      'ü',
      '\u07ff',
      '\u0800',
      '标',
      '\uffff',
      '😀',
      'a😀b',
      '\ud7ff\ue000',
    ]) {
      expect(measureText(text)).toBe(Buffer.byteLength(text));
    }
  });
  test('is -1 with control characters or half a pair', () => {
    for (const text of [
      '\0',
      'a\n',
      '\x1f',
      '\x7f',
      '\u0080',
      '\u009f',
      '\ud800',
      'x\udc00',
      '\ud800a',
      '\udc00\ud800',
    ]) {
      expect(measureText(text)).toBe(-1);
    }
  });
});

test('isBlank', () => {
  for (const text of ['', ' ', '\t \n', '\u3000']) expect(isBlank(text)).toBe(true);
  for (const text of ['a', ' a', 'ü', '\u3000x']) expect(isBlank(text)).toBe(false);
});

test('dead-letter topics', () => {
  expect(deadLetterTopic('ns%g')).toBe('%DLQ%ns%g');
  expect(isGroupTopic('%DLQ%g')).toBe(true);
  expect(isGroupTopic('%RETRY%g')).toBe(true);
  expect(isGroupTopic('DLQ%g')).toBe(false);
});

test('the text for an unknown topic starts as official clients expect it', () => {
  expect(topicNotFound('orders')).toMatchObject({ code: 'TOPIC_NOT_FOUND' });
  expect(topicNotFound('orders').message).toMatch(
    /^CODE: 17 {2}DESC: No topic route info in name server for the topic: orders/,
  );
});
