import { expect, test } from '@jest/globals';
import { Heartbeat } from './heartbeat.js';

test('after silence the peer is asked, and given up when nothing comes', () => {
  const heartbeat = new Heartbeat(1_000, 500, 0);
  expect(heartbeat.look(1_000, true)).toBe('well');
  expect(heartbeat.look(1_001, true)).toBe('ask');
  // Asked once.
  expect(heartbeat.look(1_200, true)).toBe('well');
  expect(heartbeat.look(1_501, true)).toBe('well');
  expect(heartbeat.look(1_502, true)).toBe('well');
  expect(heartbeat.look(1_503, true)).toBe('dead');
});

test('whatever is heard is a sign of life, for as long as the silence may last again', () => {
  const heartbeat = new Heartbeat(1_000, 500, 0);
  expect(heartbeat.look(1_100, true)).toBe('ask');
  heartbeat.heard();
  expect(heartbeat.look(1_500, true)).toBe('well');
  expect(heartbeat.look(2_500, true)).toBe('well');
  expect(heartbeat.look(2_501, true)).toBe('ask');
});

test('nobody is asked who may be silent, and asked at once when it is not all right any more', () => {
  const heartbeat = new Heartbeat(1_000, 500, 0);
  expect(heartbeat.look(60_000, false)).toBe('well');
  expect(heartbeat.look(60_001, true)).toBe('ask');
  // The question stands, also when it would not be asked now.
  expect(heartbeat.look(60_600, false)).toBe('well');
  expect(heartbeat.look(60_700, false)).toBe('dead');
});

test('whoever was stopped himself first reads what has come', () => {
  const heartbeat = new Heartbeat(1_000, 500, 0);
  expect(heartbeat.look(1_001, true)).toBe('ask');
  // The process stood still for a minute; the answer is in the socket.
  expect(heartbeat.look(61_000, true)).toBe('well');
  heartbeat.heard();
  expect(heartbeat.look(61_100, true)).toBe('well');
  expect(heartbeat.look(62_101, true)).toBe('ask');
  // And a late look of then is no late look of now.
  expect(heartbeat.look(62_700, true)).toBe('well');
  expect(heartbeat.look(62_800, true)).toBe('dead');
});
