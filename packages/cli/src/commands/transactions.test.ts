import { beforeEach, describe, expect, jest, test } from '@jest/globals';
import { type TransactionInfo } from '@raftmq/client';
import { main } from '../main.js';
import { MemoryOutput } from '../testing.js';

const parked: TransactionInfo = {
  brokerGroup: 'broker-a',
  transactionId: 'id-1',
  topic: 'orders',
  state: 'parked',
  clientId: 'client@1',
  bodySizeBytes: 4,
  storedAtMs: 1_700_000_000_000,
  checks: 15,
  nextCheckAtMs: null,
  parkedAtMs: 1_700_000_480_000,
  decidedAtMs: null,
  decidedByCheck: false,
  message: {
    tag: 'tag',
    keys: ['a', 'b'],
    userProperties: { name: 'värde' },
    messageGroup: '',
    bornTimestampMs: 1,
    bornHost: 'h',
    body: Buffer.from('body'),
  },
};

const calls: unknown[][] = [];
let resumed = 0;

jest.mock('../connection.js', () => ({
  ...jest.requireActual<object>('../connection.js'),
  withAdmin: (_: unknown, work: (client: unknown) => Promise<unknown>) =>
    work({
      transaction: (...values: unknown[]) => answer(['get', ...values], [parked]),
      transactions: (...values: unknown[]) => answer(['list', ...values], [parked]),
      resumeTransactions: (...values: unknown[]) => answer(['resume', ...values], resumed),
    }),
}));

function answer(call: unknown[], value: unknown): Promise<unknown> {
  calls.push(call);
  return Promise.resolve(value);
}

async function run(line: string): Promise<{ code: number; data: string; notes: string }> {
  const output = new MemoryOutput();
  const { signal } = new AbortController();
  const code = await main(line.split(' '), { variables: {}, output, signal });
  return { code, data: output.dataLines.join('\n'), notes: output.noteLines.join('\n') };
}

beforeEach(() => {
  calls.length = 0;
  resumed = 1;
});

describe('raftmq transaction', () => {
  test('get shows everything there is, the body when asked', async () => {
    const { code, data } = await run('transaction get id-1 --body');
    expect(code).toBe(0);
    expect(data.split('\n')).toEqual([
      'transaction  id-1',
      'state        parked',
      'topic        orders (broker group broker-a)',
      'sent by      client@1',
      'stored       2023-11-14T22:13:20.000Z',
      'asked        15 times',
      'parked       2023-11-14T22:21:20.000Z',
      'body         4 bytes',
      'tag          tag',
      'keys         a b',
      'property     name = värde',
      '',
      'body',
    ]);
    const json = JSON.parse((await run('transaction get id-1 --json')).data) as object;
    expect(json).toMatchObject({
      transactions: [{ state: 'parked', checks: 15, message: { bodyBase64: 'Ym9keQ==' } }],
    });
  });

  test('list filters', async () => {
    const { data } = await run('transaction list --topic orders --state parked --limit 5');
    expect(data).toMatch(/^id-1 +orders +parked +15 +2023-11-14T22:13:20/m);
    await run('transaction list');
    expect(calls).toEqual([
      ['list', { topic: 'orders', state: 'parked' }, 5],
      ['list', { topic: '' }, 100],
    ]);
    expect((await run('transaction list --state gone')).code).toBe(2);
  });

  test('resume wants to know which', async () => {
    expect((await run('transaction resume')).notes).toContain('needs ID, --topic TOPIC or --all');
    expect((await run('transaction resume id-1')).data).toBe(
      '1 transactions are asked about again',
    );
    expect((await run('transaction resume --topic orders --json')).data).toBe('{"resumed":1}');
    resumed = 0;
    expect(await run('transaction resume --all')).toMatchObject({ code: 0 });
    expect(await run('transaction resume id-1')).toMatchObject({ code: 1, data: '' });
    expect(calls.map(([, filter]) => filter)).toEqual([
      { topic: '', transactionId: 'id-1' },
      { topic: 'orders', transactionId: '' },
      { topic: '', transactionId: '' },
      { topic: '', transactionId: 'id-1' },
    ]);
  });
});
