import { describe, expect, it } from '@jest/globals';
import { type ReplicaAddress, type TopicGroup } from '../forward/group-directory.js';
import { assignedQueues, groupBrokers, groupOfBrokerName, routeQueues } from './route-entries.js';

const group = (hosts: readonly string[], overrides: Partial<TopicGroup> = {}): TopicGroup => ({
  group: 'broker-a',
  leaderId: 1,
  replicas: hosts.map((host, nodeId): ReplicaAddress => ({ nodeId, host, port: 8081 + nodeId })),
  topic: { name: 't', type: 'FIFO', queues: 2, permission: 6 },
  ...overrides,
});
const topic = { namespace: 'ns', name: 't' };
const shown = (of: TopicGroup, node = false) =>
  groupBrokers(of, node).map(({ name, endpoints }) => [
    name,
    endpoints.scheme,
    ...endpoints.addresses.map(({ host, port }) => `${host}:${port}`),
  ]);

describe('brokers of a group', () => {
  it('shows literal addresses as one broker, the leader first', () => {
    expect(shown(group(['10.0.0.1', '10.0.0.2', '10.0.0.3']))).toEqual([
      ['broker-a', 1, '10.0.0.2:8082', '10.0.0.1:8081', '10.0.0.3:8083'],
    ]);
    expect(shown(group(['::1', '::2']))).toEqual([['broker-a', 2, '::2:8082', '::1:8081']]);
  });

  it('writes the scheme into the first host for the Node.js SDK', () => {
    expect(shown(group(['10.0.0.1', '10.0.0.2']), true)).toEqual([
      ['broker-a', 1, 'ipv4:10.0.0.2:8082', '10.0.0.1:8081'],
    ]);
    expect(shown(group(['::1', '::2']), true)).toEqual([
      ['broker-a', 2, 'ipv6:[::2]:8082', '[::1]:8081'],
    ]);
  });

  it('gives each replica with a host name a broker of its own', () => {
    expect(shown(group(['a.x', 'b.x', '10.0.0.3']))).toEqual([
      ['broker-a', 3, 'b.x:8082'],
      ['broker-a@0', 3, 'a.x:8081'],
      ['broker-a@2', 1, '10.0.0.3:8083'],
    ]);
  });

  it('keeps the order of ids while no leader was ever known', () => {
    expect(shown(group(['10.0.0.1', '10.0.0.2'], { leaderId: null }))[0]).toEqual([
      'broker-a',
      1,
      '10.0.0.1:8081',
      '10.0.0.2:8082',
    ]);
  });

  it('reads both kinds of broker names', () => {
    expect(groupOfBrokerName('broker-a')).toBe('broker-a');
    expect(groupOfBrokerName('broker-a@2')).toBe('broker-a');
  });
});

describe('routes and assignments', () => {
  it('lists queues 0 to n-1 of brokers with id 0, with the topic as spelled', () => {
    expect(routeQueues(topic, [group(['10.0.0.1'])], false)).toEqual(
      [0, 1].map((queueId) => ({
        topic,
        queueId,
        permission: 4,
        brokerName: 'broker-a',
        brokerId: 0,
        endpoints: { scheme: 1, addresses: [{ host: '10.0.0.1', port: 8081 }] },
        acceptMessageTypes: [2],
      })),
    );
  });

  it.each([
    [6, 4],
    [4, 2],
    [2, 3],
    [0, 1],
  ])('shows permission %d as %d', (permission, wire) => {
    const one = group(['10.0.0.1'], {
      topic: { name: 't', type: 'NORMAL', queues: 1, permission },
    });
    expect(routeQueues(topic, [one], false)[0]?.permission).toBe(wire);
  });

  it('assigns one entry per broker, or with an ordered group one per queue', () => {
    const ids = (ordered: boolean) =>
      assignedQueues(topic, [group(['10.0.0.1', '10.0.0.2'])], ordered, false).map(
        ({ queueId, acceptMessageTypes }) => [queueId, acceptMessageTypes],
      );
    expect(ids(false)).toEqual([[-1, []]]);
    expect(ids(true)).toEqual([
      [0, []],
      [1, []],
    ]);
  });

  it('assigns nothing of a group that must not be read', () => {
    const closed = group(['10.0.0.1'], {
      topic: { name: 't', type: 'NORMAL', queues: 1, permission: 2 },
    });
    expect(assignedQueues(topic, [closed], false, false)).toEqual([]);
  });
});
