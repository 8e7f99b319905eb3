import { beforeEach, describe, expect, jest, test } from '@jest/globals';
import { MqError } from '@raftmq/base';
import { type DeadLetterInfo, type ResendOutcome } from '@raftmq/client';
import { main } from '../main.js';
import { MemoryOutput } from '../testing.js';

/** What the fake administration client was asked, and what it answers. */
const fake = {
  calls: [] as unknown[][],
  letters: [] as DeadLetterInfo[],
  resend: (offset: number): ResendOutcome => ({ queueOffset: offset, error: null, sent: true }),
};

jest.mock('../connection.js', () => {
  const admin = {
    consumerGroups: (name: string) => {
      fake.calls.push(['consumerGroups', name]);
      const group = { name: 'g', fifo: true, maxAttempts: 5, consumeFrom: { kind: 'last' } };
      const entry = { topic: 't', queueId: 1, committedOffset: 3, maxOffset: 9, inFlight: 2 };
      const progress = [
        { ...entry, lag: 6 },
        { ...entry, topic: 'u', lag: 4 },
      ];
      return Promise.resolve(name === 'g' ? [{ brokerGroup: 'broker-a', group, progress }] : []);
    },
    putGroup: (...values: unknown[]) => {
      fake.calls.push(['putGroup', ...values]);
      return Promise.resolve();
    },
    resetOffset: (request: unknown) => {
      fake.calls.push(['resetOffset', request]);
      return Promise.resolve([{ brokerGroup: 'broker-a', queueId: 0, before: 9, after: 2 }]);
    },
    deadLetters: async function* (group: string) {
      fake.calls.push(['deadLetters', group]);
      yield* fake.letters;
    },
    resendDeadLetters: (brokerGroup: string, group: string, offsets: readonly number[]) => {
      fake.calls.push(['resend', brokerGroup, group, offsets]);
      return Promise.resolve(offsets.map((offset) => fake.resend(offset)));
    },
  };
  return {
    ...jest.requireActual<object>('../connection.js'),
    withAdmin: (_: unknown, work: (client: unknown) => Promise<unknown>) => work(admin),
  };
});

async function run(...words: readonly string[]) {
  const output = new MemoryOutput();
  fake.calls = [];
  const signal = new AbortController().signal;
  const code = await main(words, { variables: {}, output, signal });
  return { code, data: output.dataLines.join('\n'), notes: output.noteLines.join('\n') };
}

function letter(queueOffset: number, changes: Partial<DeadLetterInfo> = {}): DeadLetterInfo {
  return {
    brokerGroup: 'broker-a',
    queueOffset,
    messageId: `m${queueOffset}`,
    originTopic: 'orders',
    originQueueId: 2,
    originQueueOffset: 40 + queueOffset,
    reason: 'attempts used up',
    attempts: 17,
    firstDeliveryMs: 0,
    lastDeliveryMs: 1_700_000_000_000,
    storedMs: 1,
    tag: 'a',
    keys: ['k'],
    properties: { shop: queueOffset % 2 === 0 ? 'even' : 'odd' },
    bodySizeBytes: 3,
    resent: false,
    ...changes,
  };
}

beforeEach(() => {
  fake.letters = [letter(0), letter(1), letter(2, { resent: true }), letter(3)];
  fake.resend = (queueOffset) => ({ queueOffset, error: null, sent: true });
});

describe('consumer reset', () => {
  const reset = (...words: readonly string[]) =>
    run('consumer', 'reset', '--group', 'g', '--topic', 't', ...words);
  const base = { group: 'g', topic: 't', dryRun: false };

  test.each([
    [['--to', 'beginning'], { target: { kind: 'beginning' } }],
    [['--to', 'end', '--dry-run'], { target: { kind: 'end' }, dryRun: true }],
    [['--to', '12', '--queue', '3'], { target: { kind: 'offset', offset: 12 }, queueId: 3 }],
    [['--to', '@1700000000000'], { target: { kind: 'timestamp', timestampMs: 1_700_000_000_000 } }],
    [
      ['--to', '2026-01-31T12:00:00.250Z', '--broker-group', 'b'],
      { target: { kind: 'timestamp', timestampMs: 1_769_860_800_250 }, brokerGroup: 'b' },
    ],
  ])('%j', async (words, request) => {
    const { code, data } = await reset(...words);
    expect(code).toBe(0);
    expect(fake.calls).toEqual([['resetOffset', { ...base, ...request }]]);
    expect(data).toMatch(/broker-a +0 +9 +2 +7/);
  });

  test('a time before now', async () => {
    const before = Date.now() - 90 * 60_000;
    await reset('--to', '90m');
    const [[, request]] = fake.calls as [[string, { target: { timestampMs: number } }]];
    expect(request.target.timestampMs).toBeGreaterThanOrEqual(before);
    expect(request.target.timestampMs).toBeLessThanOrEqual(Date.now() - 90 * 60_000);
  });

  test.each([
    [['--to', '12'], 'give --queue'],
    [['--to', 'yesterday'], '--to is "yesterday"'],
    [[], '--to is missing'],
  ])('refused: %j', async (words, text) => {
    const { code, notes } = await reset(...words);
    expect(code).toBe(2);
    expect(notes).toContain(text);
    expect(fake.calls).toEqual([]);
  });

  test('--json', async () => {
    expect(JSON.parse((await reset('--to', 'end', '--json')).data)).toEqual({
      ...base,
      queues: [{ brokerGroup: 'broker-a', queueId: 0, before: 9, after: 2 }],
    });
  });
});

describe('consumer progress', () => {
  test('sums up the lag', async () => {
    const { data } = await run('consumer', 'progress', 'g');
    expect(data).toMatch(/t +1 +3 +9 +6 +2/);
    expect(data).toMatch(/g: lag 10, in flight 4$/);
    const one = await run('consumer', 'progress', 'g', '--topic', 'u', '--json');
    expect(JSON.parse(one.data)).toMatchObject({ group: 'g', lag: 4, queues: [{ topic: 'u' }] });
    expect((await run('consumer', 'progress', 'x')).code).toBe(1);
  });
});

describe('group flags', () => {
  const base = { name: 'g', fifo: false, maxAttempts: 17 };
  test.each([
    [
      ['--retry-waits', '500ms,5s,2h'],
      { retryPolicy: { kind: 'list', waitsMs: [500, 5_000, 7_200_000] } },
    ],
    [
      ['--retry-exponential', '5s,2h,1.5'],
      { retryPolicy: { kind: 'exponential', initialMs: 5_000, maxMs: 7_200_000, multiplier: 1.5 } },
    ],
    [
      ['--retry-policy', '{"type":"CUSTOMIZED","customizedRetryPolicy":{"next":[1000,2000]}}'],
      { retryPolicy: { kind: 'list', waitsMs: [1_000, 2_000] } },
    ],
    [
      [
        '--retry-policy',
        '{"type":"EXPONENTIAL","exponentialRetryPolicy":{"initial":1,"max":2,"multiplier":3}}',
      ],
      { retryPolicy: { kind: 'exponential', initialMs: 1, maxMs: 2, multiplier: 3 } },
    ],
    [['--consume-from', 'last'], { consumeFrom: { kind: 'last' } }],
    [['--consume-from', '@5'], { consumeFrom: { kind: 'timestamp', timestampMs: 5 } }],
    [['--consume-enable', 'false'], { consumeEnabled: false }],
  ])('create %j', async (words, fields) => {
    expect((await run('group', 'create', 'g', ...words)).code).toBe(0);
    expect(fake.calls).toEqual([['putGroup', { ...base, ...fields }, false]]);
  });

  test.each([
    [['--retry-waits', '5'], 'no duration'],
    [['--retry-exponential', '5s,2h'], 'three values'],
    [['--retry-exponential', '5s,2h,0.5'], 'three values'],
    [['--retry-policy', '{"type":"ODD"}'], '--retry-policy takes'],
    [['--retry-policy', 'no'], '--retry-policy takes'],
    [['--retry-waits', '1s', '--retry-exponential', '1s,2s,2'], 'give one of'],
    [['--consume-from', 'middle'], '--consume-from is "middle"'],
  ])('refused: %j', async (words, text) => {
    const { code, notes } = await run('group', 'create', 'g', ...words);
    expect(code).toBe(2);
    expect(notes).toContain(text);
  });

  test('update leaves what no flag names', async () => {
    expect((await run('group', 'update', 'g', '--consume-enable', 'false')).code).toBe(0);
    expect(fake.calls[1]).toEqual([
      'putGroup',
      { ...base, fifo: true, maxAttempts: 5, consumeFrom: { kind: 'last' }, consumeEnabled: false },
      false,
    ]);
    expect((await run('group', 'update', 'g')).code).toBe(2);
    expect((await run('group', 'update', 'x', '--fifo', 'true')).code).toBe(1);
  });
});

describe('dlq', () => {
  test('list: where from, why, and which were sent again', async () => {
    const { data } = await run('dlq', 'list', 'g');
    expect(data).toMatch(
      /m0 +broker-a +0 +orders 2\/40 +17 +2023-11-14T22:13:20.000Z +no +attempts/,
    );
    expect(data).toMatch(/m2 .* yes /);
    const filtered = await run('dlq', 'list', 'g', '--filter', 'shop=even', '--waiting', '--json');
    const json = JSON.parse(filtered.data) as { letters: { messageId: string }[]; more: boolean };
    expect(json.letters.map(({ messageId }) => messageId)).toEqual(['m0']);
    const cut = await run('dlq', 'list', 'g', '--limit', '1');
    expect(cut.notes).toContain('--limit 10');
    for (const [filter, count] of [
      ['topic=orders', 4],
      ['topic=x', 0],
      ['key=k', 4],
      ['tag=b', 0],
      ['reason=attempts used up', 4],
    ] as const) {
      const { letters } = JSON.parse(
        (await run('dlq', 'list', 'g', '--filter', filter, '--json')).data,
      ) as { letters: unknown[] };
      expect([filter, letters.length]).toEqual([filter, count]);
    }
  });

  test('resend --all leaves out what was sent before', async () => {
    const { code, data } = await run('dlq', 'resend', 'g', '--all');
    expect(code).toBe(0);
    expect(fake.calls.slice(1)).toEqual([['resend', 'broker-a', 'g', [0, 1, 3]]]);
    expect(data).toBe('3 sent again, 1 had been sent before, 0 failed');
  });

  test('resend by id and by filter', async () => {
    await run('dlq', 'resend', 'g', '--id', 'm3', '--id', 'm0');
    expect(fake.calls[1]).toEqual(['resend', 'broker-a', 'g', [0, 3]]);
    const { data } = await run('dlq', 'resend', 'g', '--filter', 'shop=odd', '--json');
    expect(fake.calls[1]).toEqual(['resend', 'broker-a', 'g', [1, 3]]);
    expect(JSON.parse(data)).toEqual({ group: 'g', matched: 2, sent: 2, sentBefore: 0, failed: 0 });
    const none = await run('dlq', 'resend', 'g', '--id', 'nobody');
    expect(none.notes).toContain('no dead letter of group g fits');
  });

  test('a failure is told, the rest goes on, and the exit code is 1', async () => {
    fake.resend = (queueOffset) => ({
      queueOffset,
      error: queueOffset === 1 ? new MqError('TOPIC_NOT_FOUND', 'orders is gone') : null,
      sent: queueOffset !== 1,
    });
    const { code, data, notes } = await run('dlq', 'resend', 'g', '--all');
    expect(code).toBe(1);
    expect(data).toBe('2 sent again, 1 had been sent before, 1 failed');
    expect(notes).toContain('m1: TOPIC_NOT_FOUND: orders is gone');
  });

  test('batches follow the rate and the broker group; a dry run sends nothing', async () => {
    fake.letters.push(letter(0, { brokerGroup: 'broker-b' }));
    await run('dlq', 'resend', 'g', '--all', '--rate', '20');
    expect(fake.calls.slice(1)).toEqual([
      ['resend', 'broker-a', 'g', [0, 1]],
      ['resend', 'broker-a', 'g', [3]],
      ['resend', 'broker-b', 'g', [0]],
    ]);
    const dry = await run('dlq', 'resend', 'g', '--all', '--dry-run');
    expect(fake.calls).toHaveLength(1);
    expect(dry.data).toContain('4 sent again');
  });

  test.each([[[]], [['--all', '--id', 'm1']], [['--filter', 'x']]])(
    'refused: %j',
    async (words) => {
      expect((await run('dlq', 'resend', 'g', ...words)).code).toBe(2);
    },
  );
});
