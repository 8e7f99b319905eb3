import { describe, expect, test } from '@jest/globals';
import { checkRaftCoreConfig, raftCoreConfig, raftCoreSettings } from './config.js';

test('the defaults are within their own bounds and fit together', () => {
  const config = raftCoreConfig();
  for (const [name, entry] of Object.entries(raftCoreSettings)) {
    expect(entry.parse(String(entry.default))).toBe(config[name as keyof typeof config]);
  }
  checkRaftCoreConfig(config);
  expect(config.leaseMs).toBe(900);
  expect(config.heartbeatIntervalMs).toBe(100);
});

describe('settings that contradict each other are refused by name', () => {
  test.each([
    [{ electionTimeoutMinMs: 3000 }, 'electionTimeoutMinMs is 3000, above electionTimeoutMaxMs'],
    [{ firstElectionTimeoutMinMs: 500 }, 'firstElectionTimeoutMinMs'],
    [{ preVoteRetryMinMs: 101 }, 'preVoteRetryMinMs'],
    [{ maxAppendBytes: 2 ** 25 }, 'maxAppendBytes'],
    [{ leaseMs: 1000 }, 'leaseMs is 1000 and must be below electionTimeoutMinMs'],
    [{ heartbeatIntervalMs: 451 }, 'heartbeatIntervalMs is 451'],
  ])('%j', (changes, text) => {
    expect(() => checkRaftCoreConfig(raftCoreConfig(changes))).toThrow(text);
    expect(() => checkRaftCoreConfig(raftCoreConfig(changes))).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID' }),
    );
  });
});
