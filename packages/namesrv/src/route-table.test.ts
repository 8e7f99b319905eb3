import { beforeEach, describe, expect, test } from '@jest/globals';
import { type BrokerRegistration, type RouteTopic } from '@raftmq/protocol';
import { RouteTable } from './route-table.js';

const topic = (name: string, queues = 4): RouteTopic => ({
  name,
  type: 'NORMAL',
  readQueues: queues,
  writeQueues: queues,
  permission: 6,
});

function registration(change: Partial<BrokerRegistration> = {}): BrokerRegistration {
  const nodeId = change.nodeId ?? 0;
  return {
    cluster: 'c',
    group: 'g',
    nodeId,
    startedAtMs: 1_000,
    grpcAddress: `h${nodeId}:8081`,
    remotingAddress: '',
    metricsAddress: `h${nodeId}:5557`,
    raftAddress: `h${nodeId}:10912`,
    term: 1,
    leaderId: 0,
    topicsVersion: 10,
    topics: [topic('t')],
    topicsUnchanged: false,
    ...change,
  };
}

let table: RouteTable;
const streams = [{}, {}, {}, {}] as const;

beforeEach(() => {
  table = new RouteTable({ groupsMax: 3, topicsMax: 5 });
});

/** Registers on the stream with the node's number at time 0; '' = taken over. */
const register = (
  change: Partial<BrokerRegistration> = {},
  stream: object = streams[change.nodeId ?? 0]!,
  nowMs = 0,
): string => table.register(registration(change), stream, nowMs).refused;

/** `term/leader: node node` of group g. */
function sight(nowMs = 0): string {
  const route = table.cluster(nowMs)[0];
  return route === undefined
    ? 'nothing'
    : `${route.term}/${route.leaderId}: ${route.replicas.map(({ nodeId }) => nodeId).join(' ')}`;
}

describe('the leader', () => {
  test('comes first among the replicas, with their addresses and ages', () => {
    register({ nodeId: 2, leaderId: 1 }, streams[2], 100);
    register({ nodeId: 0, leaderId: 1 }, streams[0], 300);
    register({ nodeId: 1, leaderId: 1 }, streams[1], 200);
    expect(sight()).toBe('1/1: 1 0 2');
    expect(table.topicRoute('t', 450)).toEqual([
      {
        cluster: 'c',
        group: 'g',
        term: 1,
        leaderId: 1,
        replicas: [
          expect.objectContaining({ nodeId: 1, grpcAddress: 'h1:8081', ageMs: 250 }),
          expect.objectContaining({ nodeId: 0, raftAddress: 'h0:10912', ageMs: 150 }),
          expect.objectContaining({ nodeId: 2, metricsAddress: 'h2:5557', ageMs: 350 }),
        ],
        topic: topic('t'),
      },
    ]);
  });

  test('of an older term never overwrites that of a newer one', () => {
    register({ nodeId: 1, term: 5, leaderId: 1 });
    register({ nodeId: 0, term: 4, leaderId: 0 });
    expect(sight()).toBe('5/1: 1 0');
  });

  test('is unknown in a new term until somebody names it, then stays for that term', () => {
    register({ nodeId: 0, term: 3, leaderId: 0 });
    register({ nodeId: 1, term: 4, leaderId: -1 });
    expect(sight()).toBe('4/-1: 0 1');
    register({ nodeId: 1, term: 4, leaderId: 1 });
    register({ nodeId: 0, term: 4, leaderId: -1 });
    register({ nodeId: 2, term: 4, leaderId: 2 });
    expect(sight()).toBe('4/1: 1 0 2');
  });

  test('that left is none, and is leader again when it comes back in its term', () => {
    register({ nodeId: 0, leaderId: 0 });
    register({ nodeId: 1, leaderId: 0 });
    table.streamClosed(streams[0]);
    expect(sight()).toBe('1/-1: 1');
    register({ nodeId: 0, leaderId: 0 });
    expect(sight()).toBe('1/0: 0 1');
  });
});

describe('topics', () => {
  test('come from the leader only', () => {
    register({ nodeId: 1, leaderId: 0, topics: [topic('follower')], topicsVersion: 99 });
    expect(table.topicRoute('follower', 0)).toEqual([]);
    register({ nodeId: 0, leaderId: 0 });
    expect(table.topicRoute('follower', 0)).toEqual([]);
    expect(table.topicRoute('t', 0)).toHaveLength(1);
    expect(table.topicCount).toBe(1);
  });

  test('of a follower are taken when it becomes the leader, without being sent again', () => {
    register({ nodeId: 0, leaderId: 0 });
    register({ nodeId: 1, leaderId: 0, topics: [topic('t'), topic('new')], topicsVersion: 11 });
    register({
      nodeId: 1,
      term: 2,
      leaderId: 1,
      topics: [],
      topicsVersion: 11,
      topicsUnchanged: true,
    });
    expect(table.topicRoute('new', 0)[0]?.leaderId).toBe(1);
  });

  test('of an older version never replace a newer one', () => {
    register({ nodeId: 0, leaderId: 0, topicsVersion: 20 });
    register({ nodeId: 0, leaderId: 0, topicsVersion: 19, topics: [] });
    expect(table.topicRoute('t', 0)).toHaveLength(1);
    register({ nodeId: 0, leaderId: 0, topicsVersion: 21, topics: [] });
    expect(table.topicRoute('t', 0)).toEqual([]);
  });

  test('stay while the group elects', () => {
    register({ nodeId: 0, leaderId: 0 });
    register({ nodeId: 1, term: 2, leaderId: -1 });
    expect(table.topicRoute('t', 0)[0]).toMatchObject({ term: 2, leaderId: -1 });
  });

  test('left out are those of the same stream and version, or are asked for', () => {
    register();
    const unchanged = { topics: [], topicsUnchanged: true };
    expect(register(unchanged)).toBe('');
    expect(table.topicRoute('t', 0)).toHaveLength(1);
    expect(register({ ...unchanged, topicsVersion: 11 })).toContain('send the list of topics');
    expect(register(unchanged, {})).toContain('send the list of topics');
    expect(register({ ...unchanged, nodeId: 1 })).toContain('send the list of topics');
  });

  test('of several groups make one route each, in order of their names', () => {
    register({ group: 'g2', topics: [topic('t', 8)] }, {});
    register({ group: 'g1' }, {});
    register({ group: 'g3', topics: [] }, {});
    expect(table.topicRoute('t', 0).map((route) => [route.group, route.topic?.readQueues])).toEqual(
      [
        ['g1', 4],
        ['g2', 8],
      ],
    );
    expect(table.cluster(0).map((route) => [route.group, route.topic])).toEqual([
      ['g1', null],
      ['g2', null],
      ['g3', null],
    ]);
  });

  test('with names of JavaScript are names like any other', () => {
    expect(table.topicRoute('__proto__', 0)).toEqual([]);
    register({ topics: [topic('__proto__'), topic('constructor')] });
    expect(table.topicRoute('__proto__', 0)).toHaveLength(1);
    expect(table.topicRoute('toString', 0)).toEqual([]);
  });
});

describe('a replica', () => {
  test('leaves at once when its stream closes, and with the last one the group', () => {
    register({ nodeId: 0 });
    register({ nodeId: 1 });
    table.streamClosed(streams[1]);
    expect(sight()).toBe('1/0: 0');
    table.streamClosed(streams[0]);
    expect(sight()).toBe('nothing');
    expect(table.topicRoute('t', 0)).toEqual([]);
  });

  test('that registered anew stays when its old stream closes', () => {
    register({}, streams[0]);
    register({ startedAtMs: 2_000 }, streams[3]);
    table.streamClosed(streams[0]);
    expect(sight()).toBe('1/0: 0');
  });

  test('of an older start never replaces one of a newer start', () => {
    register({ startedAtMs: 2_000, grpcAddress: 'new:1' });
    expect(register({ startedAtMs: 1_999, grpcAddress: 'old:1' }, streams[3])).toContain(
      'newer start',
    );
    expect(table.cluster(0)[0]?.replicas[0]?.grpcAddress).toBe('new:1');
  });

  test('expires after the time of silence, not before', () => {
    register({ nodeId: 0 }, streams[0], 0);
    register({ nodeId: 1 }, streams[1], 60_000);
    expect(table.expire(119_999, 120_000)).toBe(0);
    expect(table.expire(120_000, 120_000)).toBe(1);
    expect(sight()).toBe('1/-1: 1');
    register({ nodeId: 1 }, streams[1], 170_000);
    expect(table.expire(180_000, 120_000)).toBe(0);
    expect(table.expire(290_000, 120_000)).toBe(1);
    expect(table.groupCount + table.replicaCount + table.topicCount).toBe(0);
  });
});

describe('refuses', () => {
  test.each<[string, Partial<BrokerRegistration>]>([
    ['cluster name', { cluster: '' }],
    ['group name', { group: '../../etc' }],
    ['node id', { nodeId: 32 }],
    ['node id', { nodeId: -1 }],
    ['leader id', { leaderId: -2 }],
    ['start time', { startedAtMs: 0 }],
    ['term', { term: -1 }],
    ['topics version', { topicsVersion: 2 ** 60 }],
    ['gRPC address is missing', { grpcAddress: '' }],
    ['is not host:port', { grpcAddress: 'nowhere' }],
    ['is not host:port', { raftAddress: 'h:65536' }],
    ['is not host:port', { raftAddress: 'h h:1' }],
    ['6 topics are more', { topics: Array.from({ length: 6 }, (_, i) => topic(`t${i}`)) }],
    ['impossible values', { topics: [topic('')] }],
    ['impossible values', { topics: [topic('t', -1)] }],
  ])('a wrong %s', (reason, change) => {
    expect(register(change, {})).toContain(reason);
    expect(sight()).toBe('nothing');
  });

  test('more groups than allowed, but not replicas of those it has', () => {
    for (const group of ['a', 'b', 'c']) expect(register({ group }, {})).toBe('');
    expect(register({ group: 'd' }, {})).toContain('groupsMax');
    expect(register({ group: 'c', nodeId: 1 }, {})).toBe('');
    expect(table.groupCount).toBe(3);
  });

  test('nothing about addresses in IPv6', () => {
    expect(register({ grpcAddress: '[::1]:8081' })).toBe('');
  });
});
