import { describe, expect, jest, test } from '@jest/globals';
import { AssertionFailure, MqError } from '@raftmq/base';
import { type RaftGroupStatus, type TopicStatus } from '@raftmq/client';
import { main } from './main.js';
import { MemoryOutput } from './testing.js';

/** What the fake administration client answers; commands reach it through `withAdmin`. */
const fake = {
  calls: [] as unknown[][],
  failure: null as Error | null,
  topics: [] as TopicStatus[],
  raft: [] as RaftGroupStatus[],
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
          if (fake.failure !== null) return Promise.reject(fake.failure);
          const answers: Record<string, unknown> = {
            topics: fake.topics,
            raftStatus: fake.raft,
            groups: [
              {
                cluster: 'c',
                group: 'broker-a',
                term: 2,
                leaderId: 1,
                replicas: [
                  { nodeId: 1, grpcAddress: 'h:1', remotingAddress: 'h:2', metricsAddress: 'h:3' },
                ],
              },
            ],
            consumerGroups: [
              {
                brokerGroup: 'broker-a',
                group: { name: 'g', fifo: true, maxAttempts: 5 },
                progress: [
                  { topic: 't', queueId: 0, committedOffset: 3, maxOffset: 9, inFlight: 2, lag: 6 },
                ],
                conflicts: [
                  {
                    topic: 't',
                    choices: [
                      { subscribed: true, filter: '*', clientCount: 6, clientIds: ['c1', 'c2'] },
                      {
                        subscribed: true,
                        filter: "SQL a = '\u001b[2J'",
                        clientCount: 1,
                        clientIds: ['c7'],
                      },
                      { subscribed: false, filter: '', clientCount: 1, clientIds: ['c8'] },
                    ],
                  },
                ],
              },
            ],
          };
          return Promise.resolve(answers[name]);
        },
    },
  );
  return {
    ...real,
    withAdmin: (_: unknown, work: (client: unknown) => Promise<unknown>) => work(admin),
  };
});

async function run(
  line: string,
  variables: Record<string, string> = {},
): Promise<{ code: number; data: string; notes: string }> {
  const output = new MemoryOutput();
  fake.calls = [];
  const code = await main(line === '' ? [] : line.split(' '), {
    variables,
    output,
    signal: new AbortController().signal,
  });
  return { code, data: output.dataLines.join('\n'), notes: output.noteLines.join('\n') };
}

const topicStatus = (brokerGroup: string): TopicStatus => ({
  brokerGroup,
  topic: { name: 't', type: 'FIFO', queues: 2, permission: 4 },
  queues: [
    { queueId: 0, minOffset: 1, maxOffset: 10 },
    { queueId: 1, minOffset: 0, maxOffset: 5 },
  ],
});

describe('usage', () => {
  test('the overview lists all commands; alone it is wrong usage', async () => {
    expect((await run('')).code).toBe(2);
    const help = await run('--help');
    expect(help.code).toBe(0);
    for (const name of ['dev', 'broker', 'raft status', 'bench pipe', 'sim']) {
      expect(help.data).toMatch(new RegExp(`^  ${name}  `, 'm'));
    }
    expect(help.data).not.toContain('chaos');
    const family = await run('topic --help');
    expect(family.data).toContain('topic describe');
    expect(family.data).not.toContain('group list');
  });

  test.each([
    ['topik list', 'did you mean "raftmq topic"?'],
    ['topic lst', 'did you mean "raftmq topic list"?'],
    ['topic', 'needs one of: create, delete, list, describe'],
    ['topic create', 'needs NAME'],
    ['topic create t --queues 0', '--queues is "0"'],
    ['topic create t --type FIVO', 'did you mean "FIFO"?'],
    ['bench produce --rte 5', 'did you mean --rate?'],
    ['bench produce --protocol amqp', 'did you mean "grpc"?'],
    ['dev --replicas 2', 'must be one of 1, 3, 5'],
  ])('%s', async (line, text) => {
    const { code, notes } = await run(line);
    expect(code).toBe(2);
    expect(notes).toContain(text);
  });

  test.each([
    'dev',
    'quickstart',
    'quickstart producer',
    'quickstart consumer',
    'topic create',
    'topic delete',
    'topic list',
    'topic describe',
    'group create',
    'group update',
    'group delete',
    'group list',
    'group describe',
    'message send',
    'message get',
    'message query',
    'message list',
    'message trace',
    'consumer progress',
    'consumer reset',
    'dlq list',
    'dlq resend',
    'cluster list',
    'raft status',
    'raft transfer',
    'bench produce',
    'bench consume',
    'bench pipe',
  ])('%s --help', async (name) => {
    const { code, data } = await run(`${name} --help`);
    expect(code).toBe(0);
    expect(data.startsWith(`raftmq ${name} `)).toBe(true);
  });
});

describe('failures', () => {
  test.each([
    [new MqError('TOPIC_NOT_FOUND', 'no such topic'), 1, 'TOPIC_NOT_FOUND: no such topic'],
    [new MqError('CONFIG_INVALID', 'bad address'), 2, 'bad address'],
    [new Error('odd'), 1, 'raftmq: odd'],
    [new AssertionFailure('impossible'), 70, 'impossible'],
  ])('%s', async (failure, code, text) => {
    fake.failure = failure;
    const result = await run('topic delete t');
    fake.failure = null;
    expect(result.code).toBe(code);
    expect(result.notes).toContain(text);
    expect(result.data).toBe('');
  });
});

describe('administration', () => {
  test('topic create', async () => {
    const { code } = await run('topic create t --type fifo --queues 3 --group broker-b');
    expect(code).toBe(0);
    const topic = { name: 't', type: 'FIFO', queues: 3, permission: 6 };
    expect(fake.calls).toEqual([['putTopic', topic, false, 'broker-b']]);
  });

  test('group create', async () => {
    await run('group create g --fifo --max-attempts 4 --if-new');
    const group = { name: 'g', fifo: true, maxAttempts: 4 };
    expect(fake.calls).toEqual([['putGroup', group, true]]);
  });

  test('topic list adds up the broker groups', async () => {
    fake.topics = [topicStatus('broker-a'), topicStatus('broker-b')];
    expect(JSON.parse((await run('topic list --json')).data)).toEqual({
      topics: [
        {
          name: 't',
          type: 'FIFO',
          permission: 4,
          queues: 4,
          messages: 28,
          groups: ['broker-a', 'broker-b'],
        },
      ],
    });
    expect((await run('topic list')).data).toBe(
      'TOPIC  TYPE  PERM  QUEUES  MESSAGES  BROKER GROUPS\n' +
        't      FIFO  r-         4        28  broker-a broker-b',
    );
  });

  test('topic describe shows each queue', async () => {
    fake.topics = [topicStatus('broker-a')];
    expect(JSON.parse((await run('topic describe t --json')).data)).toMatchObject({
      name: 't',
      queues: [{ group: 'broker-a', queueId: 0, minOffset: 1, maxOffset: 10 }, { queueId: 1 }],
    });
    fake.topics = [];
    expect((await run('topic describe t')).code).toBe(1);
  });

  test('group list and group describe', async () => {
    expect(JSON.parse((await run('group list --json')).data)).toEqual({
      groups: [{ name: 'g', fifo: true, maxAttempts: 5, groups: ['broker-a'] }],
    });
    expect(JSON.parse((await run('group describe g --json')).data)).toMatchObject({
      name: 'g',
      progress: [{ group: 'broker-a', topic: 't', committedOffset: 3, lag: 6, inFlight: 2 }],
      conflicts: [{ group: 'broker-a', topic: 't', choices: [{ filter: '*' }, {}, {}] }],
    });
    expect((await run('group describe g')).data).toMatch(
      /subscribe differently to topic t .*\n {2}\*: 6 clients: c1, c2, …\n {2}SQL a = ' \[2J': 1 client: c7\n {2}not subscribed: 1 client: c8$/,
    );
  });

  test('cluster list', async () => {
    expect(JSON.parse((await run('cluster list --json')).data)).toEqual({
      groups: [
        {
          cluster: 'c',
          group: 'broker-a',
          term: 2,
          leader: 1,
          replicas: [{ id: 1, grpc: 'h:1', remoting: 'h:2', metrics: 'h:3' }],
        },
      ],
    });
    expect((await run('cluster list')).data).toContain('leader');
  });

  test('raft status has the shape that scripts rely on', async () => {
    const replica = {
      id: 0,
      role: 'follower',
      up: true,
      lastIndex: 10,
      commitIndex: 10,
      appliedIndex: 10,
      digest: 'd',
    };
    const group = { group: 'broker-a', term: 3, leader: 1, replicas: [replica] };
    fake.raft = [group];
    expect((await run('raft status --json')).data).toBe(
      '{"groups":[{"group":"broker-a","term":3,"leader":1,"replicas":[{"id":0,"role":"follower",' +
        '"up":true,"lastIndex":10,"commitIndex":10,"appliedIndex":10,"digest":"d"}]}]}',
    );
    expect((await run('raft status')).data.split('\n')).toHaveLength(2);
    fake.raft = [{ ...group, replicas: [{ ...replica, recovery: 'forgetful' }] }];
    expect((await run('raft status')).data).toContain('follower (recovering: forgetful)');
    expect((await run('raft status --json')).data).toContain('"recovery":"forgetful"');
  });

  test('raft transfer', async () => {
    await run('raft transfer broker-a');
    expect(fake.calls).toEqual([['transferLeadership', 'broker-a', -1]]);
    await run('raft transfer broker-a --to 2');
    expect(fake.calls).toEqual([['transferLeadership', 'broker-a', 2]]);
  });
});
