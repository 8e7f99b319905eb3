import { describe, expect, jest, test } from '@jest/globals';
import { type FoundMessage, type FoundMessages, type MessageTrace } from '@raftmq/client';
import { main } from './main.js';
import { parseTime, printable } from './message-text.js';
import { MemoryOutput } from './testing.js';

const message: FoundMessage = {
  brokerGroup: 'broker-a',
  state: 'VISIBLE',
  topic: 'orders',
  queueId: 2,
  queueOffset: 7,
  position: 4_711,
  messageId: 'M1',
  offsetMessageId: '7F00000100002A9F0000000000001267',
  tag: 'A',
  keys: ['k1', 'k2'],
  messageGroup: '',
  userProperties: { color: 'red\u001b[2J' },
  bornTimestamp: 1_700_000_000_000,
  bornHost: '10.0.0.9:5000',
  storeTimestamp: 1_700_000_000_005,
  storeHost: '10.0.0.1:10911',
  dueTimestamp: 0,
  bodySize: 5,
  body: Buffer.from('he\nlo'),
  bodyComplete: true,
  entryIndex: 3,
  entryTerm: 2,
};
const binary: FoundMessage = {
  ...message,
  messageId: 'M2',
  body: Buffer.from([0xff, 0, 1]),
  bodySize: 3,
};
const fake = {
  calls: [] as unknown[][],
  found: { messages: [message], more: false, missingBytes: 0 } as FoundMessages,
  traces: [] as MessageTrace[],
};

jest.mock('./connection.js', () => {
  const real = jest.requireActual<object>('./connection.js');
  const admin = new Proxy(
    {},
    {
      get:
        (_, name: string) =>
        (...values: unknown[]) => {
          fake.calls.push([name, ...values]);
          return Promise.resolve(name === 'traceMessage' ? fake.traces : fake.found);
        },
    },
  );
  return {
    ...real,
    withAdmin: (_: unknown, work: (client: unknown) => Promise<unknown>) => work(admin),
  };
});

async function run(line: string): Promise<{ code: number; data: string; notes: string }> {
  const output = new MemoryOutput();
  fake.calls = [];
  const signal = new AbortController().signal;
  const code = await main(line.split(' '), { variables: {}, output, signal });
  return { code, data: output.dataLines.join('\n'), notes: output.noteLines.join('\n') };
}

describe('message get', () => {
  test('shows everything, safe for a terminal', async () => {
    const { code, data } = await run('message get M1 --topic orders');
    expect(code).toBe(0);
    expect(fake.calls).toEqual([['findMessages', 'M1', 'orders']]);
    expect(data).toContain('broker group broker-a, queue 2, offset 7, position 4711');
    expect(data).toContain('2023-11-14T22:13:20.005Z at 10.0.0.1:10911');
    expect(data).toContain('red\\u001b[2J');
    expect(data).not.toContain('\u001b');
    expect(data).toContain('he\\nlo');
  });

  test('as JSON gives text as text and the rest as Base64', async () => {
    fake.found = { ...fake.found, messages: [message, binary] };
    const { messages } = JSON.parse((await run('message get M1 --json')).data) as {
      messages: { body?: string; bodyBase64?: string; queueOffset: number }[];
    };
    expect(messages.map(({ body, bodyBase64 }) => [body, bodyBase64])).toEqual([
      ['he\nlo', undefined],
      [undefined, '/wAB'],
    ]);
    expect(messages[0]!.queueOffset).toBe(7);
  });

  test('ends with 1 when there is none, and says when the search was not complete', async () => {
    fake.found = { messages: [], more: false, missingBytes: 9 };
    const { code, notes } = await run('message get M1');
    expect(code).toBe(1);
    expect(notes).toContain('MESSAGE_NOT_FOUND');
    expect(notes).toContain('9 bytes of the log could not be searched');
  });
});

describe('message query and list', () => {
  test('ask with what the flags say', async () => {
    fake.found = { messages: [message, binary], more: true, missingBytes: 5 };
    const { data, notes } = await run(
      'message query --topic orders --key k1 --from 2026-01-01 --through 2026-01-02T00:00:00Z --count 3',
    );
    expect(fake.calls[0]![1]).toMatchObject({
      topic: 'orders',
      key: 'k1',
      fromMs: Date.UTC(2026, 0, 1),
      throughMs: Date.UTC(2026, 0, 2),
      count: 3,
    });
    expect(data).toContain('he\\nlo');
    expect(data).toContain('(3 bytes)');
    expect(notes).toContain('more messages');
    expect(notes).toContain('5 bytes of the log');
    await run('message list --topic orders --queue 2 --from 17 --count 4');
    expect(fake.calls[0]![1]).toMatchObject({ queueId: 2, start: { kind: 'offset', value: 17 } });
    await run('message list --topic orders --from newest');
    expect(fake.calls[0]![1]).toMatchObject({ start: { kind: 'newest' }, count: 64 });
    const json = JSON.parse((await run('message list --topic orders --json')).data) as object;
    expect(json).toMatchObject({ more: true, missingBytes: 5 });
  });

  test.each([
    ['message query --topic orders', 'needs --topic and --key'],
    ['message list', 'needs --topic'],
    ['message list --topic t --from yesterday', '--from is "yesterday"'],
    ['message list --topic t --count 0', '--count is "0"'],
    ['message send --topic t', 'one of --body and --body-file'],
    ['message send --topic t --body x --property color', 'NAME=VALUE'],
    ['message trace', 'needs ID'],
  ])('%s', async (line, text) => {
    const { code, notes } = await run(line);
    expect(code).toBe(2);
    expect(notes).toContain(text);
  });
});

describe('message trace', () => {
  const event = { clientId: '', leaseId: 0, invisibleMs: 0, attempt: 1, position: 1, group: 'g' };

  test('tells the story of a message', async () => {
    const timestamp = 1_700_000_001_000;
    fake.traces = [
      {
        message: { ...message, body: Buffer.alloc(0), bodyComplete: false },
        events: [
          { ...event, what: 'DELIVERED', timestamp, clientId: 'c1', invisibleMs: 500 },
          { ...event, what: 'INVISIBLE_CHANGED', timestamp, leaseId: 8, invisibleMs: 1_000 },
          { ...event, what: 'ACKED', timestamp, leaseId: 9 },
          { ...event, what: 'DEAD_LETTERED', timestamp },
        ],
        groups: [{ group: 'g', status: 'CONSUMED' }],
        complete: false,
        missingBytes: 0,
      },
    ];
    const { data, notes } = await run('message trace M1');
    expect(data).toMatch(/22:13:20.000Z {2}BORN/);
    expect(data).toMatch(/STORED .*by 10.0.0.1:10911, leader of term 2/);
    expect(data).toMatch(/DELIVERED +g +1 +to c1, leased until 2023-11-14T22:13:21.500Z/);
    expect(data).toMatch(/INVISIBLE_CHANGED +g +hidden until 2023-11-14T22:13:22.000Z, lease 8/);
    expect(data).toMatch(/ACKED +g +lease 9/);
    expect(data).toMatch(/DEAD_LETTERED +g +copied to the dead-letter queue/);
    expect(data).toMatch(/g +CONSUMED/);
    expect(data).not.toContain('the beginning only');
    expect(notes).toContain('later events are missing');
    const json = JSON.parse((await run('message trace M1 --json')).data) as { traces: object[] };
    expect(json.traces[0]).toMatchObject({ complete: false, groups: [{ group: 'g' }] });
  });
});

test('times are points or durations', () => {
  expect(parseTime('from', '10m', 1_000_000)).toBe(400_000);
  expect(parseTime('from', '-1.5s', 10_000)).toBe(8_500);
  expect(parseTime('from', '9d', 1)).toBe(0);
  expect(() => parseTime('from', '1700000000000', 1)).toThrow('must be a time');
  expect(printable('a\tb\u0085')).toBe('a\\tb\\u0085');
});
