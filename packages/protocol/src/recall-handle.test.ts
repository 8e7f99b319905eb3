import { expect, test } from '@jest/globals';
import { peekRecallHandle, RecallHandles } from './recall-handle.js';

const handles = new RecallHandles(Buffer.alloc(32, 7), 'broker-ä');
const timer = { dueMs: 1_700_000_000_123, timerId: 2 ** 40 + 1, messageId: '01ABCé' };

test('a handle comes back as it was made', () => {
  const text = handles.make('ns%T', timer);
  expect(text).toMatch(/^[A-Za-z0-9_-]+$/);
  expect(handles.parse(text, 'ns%T')).toEqual(timer);
  expect(peekRecallHandle(text)).toEqual({ brokerGroup: 'broker-ä', ...timer });
  const longest = { ...timer, messageId: 'x'.repeat(255) };
  const wide = new RecallHandles(Buffer.alloc(32), 'g'.repeat(255));
  expect(wide.parse(wide.make('T', longest), 'T')).toEqual(longest);
});

test('it holds for its topic, group and secret only', () => {
  const text = handles.make('T', timer);
  expect(handles.parse(text, 'U')).toBeNull();
  expect(new RecallHandles(Buffer.alloc(32, 8), 'broker-ä').parse(text, 'T')).toBeNull();
  expect(new RecallHandles(Buffer.alloc(32, 7), 'broker-b').parse(text, 'T')).toBeNull();
});

test('no bit can be changed, no byte taken away or added', () => {
  const bytes = Buffer.from(handles.make('T', timer), 'base64url');
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const forged = Buffer.from(bytes);
    forged[bit >> 3]! ^= 1 << (bit & 7);
    expect(handles.parse(forged.toString('base64url'), 'T')).toBeNull();
  }
  for (let size = 0; size < bytes.length; size++) {
    expect(handles.parse(bytes.subarray(0, size).toString('base64url'), 'T')).toBeNull();
  }
  const longer = Buffer.concat([bytes, Buffer.alloc(1)]).toString('base64url');
  expect(handles.parse(longer, 'T')).toBeNull();
});

test.each(['', 'x', '!!', 'v1 topic broker', 'A'.repeat(4_000)])('%j is no handle', (text) => {
  expect(handles.parse(text, 'T')).toBeNull();
  expect(peekRecallHandle(text)).toBeNull();
});
