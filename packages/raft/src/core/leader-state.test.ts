import { beforeEach, describe, expect, test } from '@jest/globals';
import { raftCoreConfig } from './config.js';
import { LeaderState } from './leader-state.js';

let leader: LeaderState;

beforeEach(() => {
  leader = new LeaderState([2, 3], 11, 5000, 70, raftCoreConfig());
});

test('starts with a probe behind the old end for each peer, and a whole lease', () => {
  expect(leader.progress.map((peer) => peer.id)).toEqual([2, 3]);
  for (const peer of leader.progress) {
    expect(peer).toMatchObject({ state: 'probe', nextIndex: 11, matchIndex: 0, contactMs: 70 });
  }
  expect(leader.progressOf(3)).toBe(leader.progress[1]);
  expect(() => leader.progressOf(9)).toThrow('knows all its peers');
  expect(leader.heartbeatDueMs).toBe(170);
});

describe('uncommitted bytes', () => {
  test('grow with what is appended, and shrink with what is committed', () => {
    expect(leader.uncommittedBytes).toBe(0);
    leader.appended(5056);
    leader.appended(6000);
    leader.appended(6100);
    expect(leader.uncommittedBytes).toBe(1100);
    leader.committed(12);
    expect(leader.uncommittedBytes).toBe(100);
    leader.committed(13);
    expect(leader.uncommittedBytes).toBe(0);
  });

  test('entries of older terms do not count, and what was never appended is not committed', () => {
    leader.committed(9);
    expect(leader.uncommittedBytes).toBe(0);
    expect(() => leader.committed(11)).toThrow('only appended entries');
  });
});
