import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { silentLogger } from '@raftmq/base';
import { type ProtoHandlers, RpcServer } from '@raftmq/rpc';
import { AdminClient } from './admin-client.js';

/** One broker group whose replicas are `servers`; node 2 is configured and not running. */
class FakeCluster {
  readonly servers: RpcServer[] = [];
  readonly requests: { method: string; nodeId: number; request: unknown }[] = [];
  /** What every change answers. */
  result = { code: 20000, message: 'OK' };
  registered: readonly number[] = [0, 1];

  async start(): Promise<void> {
    for (const nodeId of [0, 1]) {
      const server = new RpcServer({ host: '127.0.0.1', port: 0, tls: null, logger: silentLogger });
      server.registerProto('raftmq.admin.v1.Admin', this.#admin(nodeId));
      server.registerProto('raftmq.namesrv.v1.NameServer', {
        GetCluster: { unary: () => ({ groups: [this.#group()] }) },
      });
      await server.start();
      this.servers.push(server);
    }
  }

  address(nodeId: number): string {
    return nodeId === 2 ? '127.0.0.1:1' : `127.0.0.1:${this.servers[nodeId]!.port}`;
  }

  #group(): object {
    return {
      cluster: 'c',
      group: 'broker-a',
      term: 3,
      leaderId: 1,
      replicas: this.registered.map((nodeId) => ({
        nodeId,
        grpcAddress: this.address(nodeId),
        remotingAddress: '',
        metricsAddress: '',
      })),
    };
  }

  #admin(nodeId: number): ProtoHandlers {
    const record = (method: string, answer: () => object) => ({
      unary: (request: object) => {
        this.requests.push({ method, nodeId, request });
        return answer();
      },
    });
    return {
      PutTopic: record('PutTopic', () => this.result),
      DeleteTopic: record('DeleteTopic', () => this.result),
      TransferLeadership: record('TransferLeadership', () => this.result),
      ListTopics: record('ListTopics', () => ({
        result: this.result,
        topics: [
          {
            topic: { name: 't', type: 'FIFO', queues: 2, permission: 6 },
            queues: [
              { queueId: 1, minOffset: 0, maxOffset: 4 },
              { queueId: 0, minOffset: 1, maxOffset: 9 },
            ],
          },
        ],
      })),
      GetRaftStatus: record('GetRaftStatus', () => ({
        cluster: 'c',
        group: 'broker-a',
        nodeId,
        role: nodeId === 1 ? 'leader' : 'follower',
        recovery: nodeId === 1 ? 'none' : 'forgetful',
        // Node 0 was cut off and still believes in an older leader.
        term: nodeId === 1 ? 3 : 2,
        leaderId: nodeId === 1 ? 1 : 0,
        lastIndex: 10,
        commitIndex: 9,
        appliedIndex: 8,
        digest: 'abc',
        voters: [0, 1, 2],
        replicas: [0, 1, 2].map((id) => ({ nodeId: id, grpcAddress: this.address(id) })),
      })),
    };
  }

  async stop(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.close(0)));
  }
}

let cluster: FakeCluster;
let admin: AdminClient;

beforeEach(async () => {
  cluster = new FakeCluster();
  await cluster.start();
  admin = new AdminClient({ namesrv: cluster.address(0) });
});

afterEach(async () => {
  admin.close();
  await cluster.stop();
});

const topic = { name: 't', type: 'NORMAL', queues: 8, permission: 6 } as const;

describe('AdminClient', () => {
  test('asks the leader to change something', async () => {
    await admin.putTopic(topic, true);
    expect(cluster.requests).toEqual([
      {
        method: 'PutTopic',
        nodeId: 1,
        request: expect.objectContaining({ createOnly: true }),
      },
    ]);
  });

  test('finds its groups through brokers, too', async () => {
    const direct = new AdminClient({
      endpoints: `${cluster.address(2)};${cluster.address(0)};${cluster.address(1)}`,
    });
    const groups = await direct.groups();
    expect(groups).toMatchObject([{ group: 'broker-a', term: 3, leaderId: 1 }]);
    expect(groups[0]!.replicas).toHaveLength(3);
    direct.close();
  });

  test('shows the newest term, and replicas that are down', async () => {
    expect(await admin.raftStatus()).toEqual([
      {
        group: 'broker-a',
        term: 3,
        leader: 1,
        replicas: [
          expect.objectContaining({ id: 0, role: 'follower', up: true, recovery: 'forgetful' }),
          {
            id: 1,
            role: 'leader',
            up: true,
            lastIndex: 10,
            commitIndex: 9,
            appliedIndex: 8,
            digest: 'abc',
          },
          {
            id: 2,
            role: 'unknown',
            up: false,
            lastIndex: -1,
            commitIndex: -1,
            appliedIndex: -1,
            digest: '',
          },
        ],
      },
    ]);
  });

  test('goes to another replica when the leader is gone', async () => {
    await cluster.servers[1]!.close(0);
    expect(await admin.topics()).toMatchObject([
      { brokerGroup: 'broker-a', queues: [{ queueId: 0 }, { queueId: 1 }] },
    ]);
    expect(cluster.requests.at(-1)).toMatchObject({ method: 'ListTopics', nodeId: 0 });
  });

  test('a refusal carries the code of the server', async () => {
    cluster.result = { code: 40402, message: 'no such topic' };
    await expect(admin.deleteTopic('t')).rejects.toMatchObject({
      code: 'TOPIC_NOT_FOUND',
      message: 'no such topic',
    });
    expect(await admin.topics('t')).toEqual([]);
    cluster.result = { code: 42800, message: 'exists with other settings' };
    await expect(admin.putTopic(topic, true)).rejects.toMatchObject({
      code: 'PRECONDITION_FAILED',
    });
  });

  test('knows the groups that may be named', async () => {
    await expect(admin.transferLeadership('broker-x', -1)).rejects.toThrow('known are broker-a');
    await admin.transferLeadership('broker-a', 0);
    expect(cluster.requests.at(-1)).toMatchObject({
      method: 'TransferLeadership',
      request: { target: 0 },
    });
  });

  test('says when there is nobody to ask', async () => {
    expect(() => new AdminClient({})).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
    const nobody = new AdminClient({ namesrv: '127.0.0.1:1' });
    await expect(nobody.groups()).rejects.toMatchObject({ code: 'HA_NOT_AVAILABLE' });
    nobody.close();
  });
});
