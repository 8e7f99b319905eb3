import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  bytes,
  choice,
  count,
  environmentName,
  flag,
  list,
  loadConfig,
  ms,
  text,
} from './config.js';

const table = {
  segmentSizeBytes: bytes({ default: 1024, min: 512, max: 1024 ** 3, doc: 'size' }),
  flushIntervalMs: ms({ default: 5, min: 0, max: 60_000, doc: 'interval' }),
  queuesMax: count({ default: 8, min: 1, max: 100, doc: 'queues' }),
  mode: choice({ default: 'SAFE', of: ['SAFE', 'FAST'], doc: 'mode' }),
  autoCreate: flag({ default: false, doc: 'auto' }),
  namesrvAddr: list({ default: [], env: 'NAMESRV_ADDR', doc: 'addresses' }),
  group: text({ default: 'a', pattern: /^[a-z-]+$/, doc: 'group' }),
};

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'raftmq-config-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function file(content: string): string {
  const path = join(directory, 'config.json');
  writeFileSync(path, content);
  return path;
}

describe('loadConfig', () => {
  test('takes defaults when nothing is set', () => {
    expect(loadConfig(table, {})).toEqual({
      segmentSizeBytes: 1024,
      flushIntervalMs: 5,
      queuesMax: 8,
      mode: 'SAFE',
      autoCreate: false,
      namesrvAddr: [],
      group: 'a',
    });
  });

  test('flags win over environment, environment over file', () => {
    const sources = {
      flags: { queuesMax: '3' },
      environment: {
        RAFTMQ_QUEUES_MAX: '4',
        RAFTMQ_FLUSH_INTERVAL_MS: '2s',
        NAMESRV_ADDR: 'a:1; b:2',
      },
      file: file(
        '{"queuesMax": 5, "flushIntervalMs": 7, "segmentSizeBytes": "2MiB", "autoCreate": true, "namesrvAddr": ["x:1"]}',
      ),
    };
    expect(loadConfig(table, sources)).toMatchObject({
      queuesMax: 3,
      flushIntervalMs: 2000,
      segmentSizeBytes: 2 * 1024 * 1024,
      autoCreate: true,
      namesrvAddr: ['a:1', 'b:2'],
    });
  });

  test.each([
    [
      { flags: { queueMax: '3' } },
      'unknown setting "queueMax" in flags; did you mean "queuesMax"?',
    ],
    [
      { flags: { queuesMax: '0' } },
      'setting "queuesMax" (from flag) is "0": must be between 1 and 100',
    ],
    [{ flags: { queuesMax: '3 apples' } }, 'must be a number'],
    [{ flags: { segmentSizeBytes: '1 TiB' } }, 'KiB, MiB, GiB'],
    [{ flags: { mode: 'fast' } }, 'must be one of SAFE, FAST'],
    [{ flags: { autoCreate: 'yes' } }, 'must be true or false'],
    [{ flags: { group: 'A B' } }, 'must match'],
    [{ environment: { RAFTMQ_MODE: 'x' } }, '(from RAFTMQ_MODE)'],
  ])('refuses %j', (sources, message) => {
    expect(() => loadConfig(table, sources)).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        message: expect.stringContaining(message),
      }),
    );
  });

  test.each([['{"a"'], ['[1]'], ['{"modes": 1}']])('refuses the file %s', (content) => {
    const path = file(content);
    expect(() => loadConfig(table, { file: path })).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining(path) }),
    );
  });

  test('a missing file is named', () => {
    expect(() => loadConfig(table, { file: '/nonexistent/x.json' })).toThrow('/nonexistent/x.json');
  });
});

test('environment names', () => {
  expect(environmentName('flushIntervalMs')).toBe('RAFTMQ_FLUSH_INTERVAL_MS');
});
