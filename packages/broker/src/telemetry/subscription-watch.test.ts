import { beforeEach, describe, expect, test } from '@jest/globals';
import { silentLogger, type Logger } from '@raftmq/base';
import { ManualClock } from '../testing/single-node.js';
import { SubscriptionWatch } from './subscription-watch.js';

let clock: ManualClock;
let watch: SubscriptionWatch;
let warnings: Record<string, unknown>[];

beforeEach(() => {
  clock = new ManualClock();
  warnings = [];
  const logger: Logger = {
    ...silentLogger,
    warn: (fields: object) => warnings.push(fields as Record<string, unknown>),
  };
  watch = new SubscriptionWatch({ clock, logger, clientsMax: 5, expiryMs: 1_000 });
});

function declare(clientId: string, topics: Record<string, string>, group = 'g'): void {
  watch.declared(clientId, group, new Map(Object.entries(topics)));
}

describe('members that receive', () => {
  test('with the same filters, or from different groups, are no conflict', () => {
    watch.used('a', 'g', 't', 'TAG x');
    watch.used('b', 'g', 't', 'TAG x');
    watch.used('b', 'g', 'u', '*');
    watch.used('c', 'h', 't', '*');
    expect(watch.conflicts('g')).toEqual([]);
    expect([watch.mismatches, watch.dividedGroups, warnings.length]).toEqual([0, 0, 0]);
  });

  test('with different filters are reported with both names and both filters', () => {
    watch.used('a', 'g', 't', 'TAG x');
    watch.used('b', 'g', 't', 'TAG x');
    watch.used('c', 'g', 't', 'SQL a > 5');
    expect(warnings).toEqual([
      {
        group: 'g',
        topic: 't',
        clientId: 'c',
        filter: 'SQL a > 5',
        otherClientId: 'a',
        otherFilter: 'TAG x',
        suppressed: 0,
      },
    ]);
    expect(watch.conflicts('g')).toEqual([
      {
        topic: 't',
        choices: [
          { filter: 'TAG x', clientCount: 2, clientIds: ['a', 'b'] },
          { filter: 'SQL a > 5', clientCount: 1, clientIds: ['c'] },
        ],
      },
    ]);
    expect([watch.mismatches, watch.dividedGroups]).toEqual([1, 1]);
  });

  test('in agreement again are a conflict no longer', () => {
    watch.used('a', 'g', 't', 'TAG x');
    watch.used('b', 'g', 't', '*');
    expect(watch.dividedGroups).toBe(1);
    watch.used('a', 'g', 't', '*');
    expect(watch.dividedGroups).toBe(0);
  });

  test('are forgotten when they stay silent or say goodbye', async () => {
    watch.used('a', 'g', 't', 'TAG x');
    await clock.advance(900);
    watch.used('b', 'g', 't', '*');
    expect(watch.conflicts('g')).toHaveLength(1);
    await clock.advance(200);
    watch.used('b', 'g', 't', '*');
    expect(watch.conflicts('g')).toEqual([]);
    watch.used('c', 'g', 't', 'TAG x');
    watch.gone('c', 'g');
    expect(watch.dividedGroups).toBe(0);
    watch.gone('b', 'g');
    watch.gone('b', 'g');
    expect(watch.size).toBe(0);
  });

  test('are warned about once a minute and group', async () => {
    watch.used('a', 'g', 't', '*');
    for (let i = 0; i < 5; i++) watch.used('b', 'g', 't', `TAG x${i}`);
    expect(warnings).toHaveLength(1);
    watch.used('c', 'h', 't', '*');
    watch.used('d', 'h', 't', 'TAG x');
    expect(warnings).toHaveLength(2);
    await clock.advance(60_000);
    watch.used('a', 'g', 't', '*');
    watch.used('b', 'g', 't', 'TAG x');
    expect(warnings[2]).toMatchObject({ group: 'g', suppressed: 4 });
  });
});

describe('members that sent their Settings', () => {
  test('have to subscribe to the same topics', () => {
    declare('a', { t: '*', u: '*' });
    declare('b', { t: '*' });
    expect(warnings).toMatchObject([
      { topic: 'u', clientId: 'b', filter: 'not subscribed', otherClientId: 'a', otherFilter: '*' },
    ]);
    expect(watch.conflicts('g')).toEqual([
      {
        topic: 'u',
        choices: [
          { filter: '*', clientCount: 1, clientIds: ['a'] },
          { filter: null, clientCount: 1, clientIds: ['b'] },
        ],
      },
    ]);
    declare('b', { t: '*', u: '*' });
    expect(watch.conflicts('g')).toEqual([]);
  });

  test('are compared with those that only receive by the topics both name', () => {
    declare('a', { t: '*' });
    watch.used('b', 'g', 't', '*');
    expect(watch.conflicts('g')).toEqual([]);
    watch.used('b', 'g', 'u', '*');
    expect(watch.conflicts('g')).toMatchObject([{ topic: 'u' }]);
  });

  test('stay known while they are silent; who reports their end takes them out', async () => {
    declare('a', { t: '*' });
    await clock.advance(10_000);
    declare('b', { t: 'TAG x' });
    expect(watch.conflicts('g')).toHaveLength(1);
    watch.gone('a', 'g');
    expect(watch.conflicts('g')).toEqual([]);
  });
});

test('more members than there is room for are not compared, until others are gone', async () => {
  for (let i = 0; i < 5; i++) watch.used(`c${i}`, 'g', 't', '*');
  watch.used('one more', 'g', 't', 'TAG x');
  expect([watch.size, watch.mismatches]).toEqual([5, 0]);
  await clock.advance(1_001);
  watch.used('c0', 'h', 't', '*');
  expect(watch.size).toBe(1);
});
