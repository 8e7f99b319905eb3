import { afterEach, describe, expect, it } from '@jest/globals';
import { EdgeFixture, settle } from '../testing/edge-fixture.js';
import { type RemoteGroupRoute } from './group-directory.js';

const route = (group: string, leaderId: number, topic = 'orders'): RemoteGroupRoute => ({
  group,
  leaderId,
  replicas: [
    { nodeId: 1, grpcAddress: '10.1.0.1:81' },
    { nodeId: 0, grpcAddress: '10.1.0.0:80' },
  ],
  topic: { name: topic, type: 'FIFO', readQueues: 4, writeQueues: 2, permission: 6 },
});

let edge: EdgeFixture;
let asked: string[];
let answer: () => Promise<readonly RemoteGroupRoute[]>;
function make(): void {
  asked = [];
  edge = new EdgeFixture({
    lookup: (topic) => {
      asked.push(topic);
      return answer();
    },
  });
}
afterEach(() => {
  edge.registry.close();
});
const names = async () => (await edge.directory.groupsOf('orders')).map((group) => group.group);

describe('the groups of a topic', () => {
  it('are this group and those that a NameServer knows, in a stable order', async () => {
    make();
    edge.addTopic({ name: 'orders' });
    answer = () => Promise.resolve([route('broker-b', 1), route('broker-a', 2), route('aaa', 0)]);
    expect(await names()).toEqual(['aaa', 'broker-a', 'broker-b']);
    const [, , other] = await edge.directory.groupsOf('orders');
    expect(other).toEqual({
      group: 'broker-b',
      leaderId: 1,
      replicas: [
        { nodeId: 0, host: '10.1.0.0', port: 80 },
        { nodeId: 1, host: '10.1.0.1', port: 81 },
      ],
      topic: { name: 'orders', type: 'FIFO', queues: 4, permission: 6 },
    });
    expect(edge.directory.leaderAddress('broker-b')).toBe('10.1.0.1:81');
    expect(asked).toEqual(['orders']);
  });

  it('come from the cache, which is refreshed in the background when it is old', async () => {
    make();
    answer = () => Promise.resolve([route('broker-b', 0)]);
    expect(await names()).toEqual(['broker-b']);
    await edge.clock.advance(5_001);
    answer = () => Promise.resolve([route('broker-c', 0)]);
    expect(await names()).toEqual(['broker-b']);
    await settle();
    expect(await names()).toEqual(['broker-c']);
    expect(asked).toHaveLength(2);
  });

  it('outlive their NameServers', async () => {
    make();
    answer = () => Promise.resolve([route('broker-b', 0)]);
    await names();
    answer = () => Promise.reject(new Error('gone'));
    await edge.clock.advance(60_000);
    expect(await names()).toEqual(['broker-b']);
    await settle();
    expect(await names()).toEqual(['broker-b']);
  });

  it('are asked for again soon while the topic is unknown everywhere', async () => {
    make();
    answer = () => Promise.resolve([]);
    expect(await names()).toEqual([]);
    expect(await names()).toEqual([]);
    expect(asked).toHaveLength(1);
    await edge.clock.advance(300);
    answer = () => Promise.resolve([route('broker-b', 0)]);
    expect(await names()).toEqual(['broker-b']);
  });

  it('leave out what cannot be used', async () => {
    make();
    const broken = { ...route('broker-c', 0), replicas: [{ nodeId: 0, grpcAddress: 'nonsense' }] };
    const unknownType = {
      ...route('broker-d', 0),
      topic: { ...route('x', 0).topic!, type: 'NEW' },
    };
    answer = () =>
      Promise.resolve([broken, unknownType, { ...route('broker-e', -1), topic: null }]);
    expect(await names()).toEqual([]);
  });
});

describe('leaders', () => {
  it('of this group are those of its own role; the last one known stays first in routes', () => {
    make();
    edge.addTopic({ name: 'orders' });
    expect(edge.directory.leaderAddress('broker-a')).toBe('10.0.0.1:8081');
    expect(edge.directory.own('orders')?.leaderId).toBe(0);
    edge.follow(null);
    expect(edge.directory.leaderAddress('broker-a')).toBeNull();
    expect(edge.directory.own('orders')?.leaderId).toBe(0);
  });

  it('of other groups are asked for again when a call to them failed, but not in a rush', async () => {
    make();
    answer = () => Promise.resolve([route('broker-b', 0)]);
    await names();
    answer = () => Promise.resolve([route('broker-b', 1)]);
    edge.directory.suspect('broker-b');
    edge.directory.suspect('broker-b');
    edge.directory.suspect('unheard-of');
    await settle();
    expect(asked).toHaveLength(2);
    expect(edge.directory.leaderAddress('broker-b')).toBe('10.1.0.1:81');
    expect([
      edge.directory.knows('broker-b'),
      edge.directory.knows('broker-a'),
      edge.directory.knows('x'),
    ]).toEqual([true, true, false]);
  });
});
