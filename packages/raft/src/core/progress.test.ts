import { beforeEach, describe, expect, test } from '@jest/globals';
import { Progress } from './progress.js';

const limits = { maxInflightAppends: 3, maxInflightBytes: 100 };
let progress: Progress;

beforeEach(() => {
  progress = new Progress(2, 11, 500, limits);
});

/** From the first probe at 11 to sending ahead, with 10 known to be durable there. */
function replicating(): void {
  progress.sent(10, 0);
  progress.accepted(10, 1);
  expect(progress.state).toBe('replicate');
}

describe('probe', () => {
  test('one request at a time, without moving on', () => {
    expect(progress.hasRoom).toBe(true);
    progress.sent(12, 50);
    expect(progress.hasRoom).toBe(false);
    expect(progress.nextIndex).toBe(11);
    expect(progress.inflightBytes).toBe(0);
    expect(() => progress.sent(12, 50)).toThrow('window has room');
  });

  test('a refusal moves down and allows the next one', () => {
    progress.sent(10, 0);
    progress.refused(10, 7);
    expect(progress.nextIndex).toBe(7);
    expect(progress.hasRoom).toBe(true);
  });

  test('a refusal of another probe is late, and so is one behind what is durable there', () => {
    expect(progress.isStaleRefusal(9)).toBe(true);
    expect(progress.isStaleRefusal(10)).toBe(false);
    expect(() => progress.refused(9, 3)).toThrow('late refusal');
    progress.accepted(10, 1);
    progress.connectionLost();
    expect(progress.nextIndex).toBe(11);
    expect(progress.isStaleRefusal(10)).toBe(true);
  });

  test('never asks above what was refused, whatever the hint', () => {
    progress.refused(10, 99);
    expect(progress.nextIndex).toBe(10);
  });

  test('a success starts sending ahead, from where the probe was', () => {
    progress.sent(10, 0);
    expect(progress.accepted(4, 1)).toBe(true);
    expect(progress.state).toBe('replicate');
    expect(progress.matchIndex).toBe(4);
    expect(progress.nextIndex).toBe(11);
  });
});

describe('replicate', () => {
  beforeEach(replicating);

  test('moves on with each request until the count is reached', () => {
    progress.sent(11, 1);
    progress.sent(12, 1);
    progress.sent(15, 1);
    expect(progress.nextIndex).toBe(16);
    expect(progress.hasRoom).toBe(false);
    progress.accepted(12, 1);
    expect(progress.inflightAppends).toBe(1);
    expect(progress.inflightBytes).toBe(1);
    expect(progress.hasRoom).toBe(true);
  });

  test('stops at the bytes, which the last request may exceed', () => {
    progress.sent(11, 99);
    expect(progress.hasRoom).toBe(true);
    progress.sent(12, 500);
    expect(progress.inflightBytes).toBe(599);
    expect(progress.hasRoom).toBe(false);
    progress.accepted(12, 1);
    expect(progress.inflightBytes).toBe(0);
  });

  test('the ring of requests wraps around', () => {
    for (let index = 11; index < 40; index += 2) {
      progress.sent(index, 10);
      progress.sent(index + 1, 20);
      expect(progress.inflightBytes).toBe(30);
      progress.accepted(index, 1);
      expect(progress.inflightBytes).toBe(20);
      progress.accepted(index + 1, 1);
      expect(progress.inflightAppends).toBe(0);
    }
  });

  test('an answer in the middle of a request frees only the whole ones', () => {
    progress.sent(15, 10);
    progress.accepted(13, 1);
    expect(progress.matchIndex).toBe(13);
    expect(progress.inflightAppends).toBe(1);
  });

  test('a late answer does not move the match back', () => {
    progress.sent(12, 10);
    progress.accepted(12, 1);
    expect(progress.accepted(11, 1)).toBe(false);
    expect(progress.matchIndex).toBe(12);
  });

  test('a refusal empties the window and probes, never at or below the match', () => {
    progress.sent(11, 10);
    progress.sent(12, 10);
    expect(progress.isStaleRefusal(10)).toBe(true);
    expect(progress.isStaleRefusal(13)).toBe(true);
    progress.refused(12, 3);
    expect(progress.state).toBe('probe');
    expect(progress.nextIndex).toBe(11);
    expect(progress.inflightAppends).toBe(0);
  });

  test('a lost connection starts again behind the match', () => {
    progress.sent(14, 10);
    progress.connectionLost();
    expect(progress.state).toBe('probe');
    expect(progress.nextIndex).toBe(11);
    expect(progress.hasRoom).toBe(true);
  });

  test('a new connection forgets the match: the follower may be a new process', () => {
    progress.sent(14, 10);
    progress.reconnected(14);
    expect(progress.matchIndex).toBe(0);
    expect(progress.nextIndex).toBe(15);
    expect(progress.state).toBe('probe');
  });
});

describe('needs-install', () => {
  test('sends nothing until the follower has what comes before the log', () => {
    progress.needsInstall();
    expect(progress.hasRoom).toBe(false);
    expect(progress.isStaleRefusal(10)).toBe(true);
    progress.accepted(4, 6);
    expect(progress.state).toBe('needs-install');
    progress.connectionLost();
    expect(progress.state).toBe('needs-install');
    progress.accepted(5, 6);
    expect(progress.state).toBe('replicate');
    expect(progress.nextIndex).toBe(6);
  });
});

test('contact and read rounds only move forward', () => {
  expect(progress.contactMs).toBe(500);
  progress.answered(700, 3);
  progress.answered(600, 2);
  expect(progress.contactMs).toBe(700);
  expect(progress.readRound).toBe(3);
});
