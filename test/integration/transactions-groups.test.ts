import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig, silentLogger } from '@raftmq/base';
import { Broker, brokerSettings } from '@raftmq/broker';
import { AdminClient, Producer, type SendReceipt } from '@raftmq/client';
import { Namesrv, namesrvSettings } from '@raftmq/namesrv';
import {
  decodeStatusResponse,
  encodeEndTransactionRequest,
  statusCode,
  transactionResolution,
  type Status,
} from '@raftmq/protocol';
import { RpcChannel } from '@raftmq/rpc';

/* Two broker groups of one replica: some SDKs bring their decision to a broker that never saw the message. */

const GROUPS = ['broker-a', 'broker-b'];

let directory: string;
let namesrv: Namesrv;
let brokers: Broker[];
let channels: Map<string, RpcChannel>;
let admin: AdminClient;
let producer: Producer;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'raftmq-groups-'));
  const flags = { host: '127.0.0.1', port: '0', metricsPort: '0' };
  namesrv = new Namesrv(loadConfig(namesrvSettings, { flags }), silentLogger);
  await namesrv.start();
  const namesrvAddr = `127.0.0.1:${namesrv.port}`;
  brokers = await Promise.all(
    GROUPS.map((group) =>
      Broker.start({
        settings: loadConfig(brokerSettings, {
          flags: {
            group,
            host: '127.0.0.1',
            grpcPort: '0',
            metricsPort: '0',
            dataDir: join(directory, group),
            namesrvAddr,
            segmentSizeBytes: '16MiB',
          },
        }),
        logger: silentLogger,
        onFatal: (error) => {
          throw error;
        },
      }),
    ),
  );
  channels = new Map(
    brokers.map(({ grpcAddress }, i) => [
      GROUPS[i]!,
      new RpcChannel({ address: grpcAddress, tls: null }),
    ]),
  );
  admin = new AdminClient({ namesrv: namesrvAddr });
  const untilMs = Date.now() + 20_000;
  const known = async (): Promise<number> => (await admin.groups().catch(() => [])).length;
  while ((await known()) < 2 || brokers.some((broker) => !broker.role.writable)) {
    if (Date.now() > untilMs) throw new Error('the groups did not register within 20 s');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await admin.putTopic({ name: 'orders', type: 'TRANSACTION', queues: 1, permission: 6 }, true);
  producer = new Producer({
    endpoints: brokers[0]!.grpcAddress,
    topics: ['orders'],
    checker: { check: () => 'unknown' },
  });
  await producer.start();
}, 60_000);

afterAll(async () => {
  await producer?.close(0);
  admin?.close();
  for (const channel of channels?.values() ?? []) channel.close();
  await Promise.all((brokers ?? []).map((broker) => broker.stop()));
  await namesrv?.stop();
  await rm(directory, { recursive: true, force: true });
}, 60_000);

async function end(group: string, transactionId: string, resolution: number): Promise<Status> {
  const request = encodeEndTransactionRequest({
    topic: { namespace: '', name: 'orders' },
    messageId: transactionId,
    transactionId,
    resolution,
    source: 0,
    traceContext: '',
  });
  const answer = await channels
    .get(group)!
    .unary('/apache.rocketmq.v2.MessagingService/EndTransaction', request, {
      deadlineMs: Date.now() + 5_000,
      headers: { 'x-mq-client-id': 'test@1' },
    });
  return decodeStatusResponse(answer);
}

const otherThan = (group: string): string => GROUPS.find((name) => name !== group)!;

test('a decision finds its message from the other group', async () => {
  const receipts: SendReceipt[] = [];
  // The producer goes round the groups of its route; it may have to hear of the second one first.
  while (new Set(receipts.map(({ brokerName }) => brokerName)).size < 2) {
    expect(receipts.length).toBeLessThan(50);
    const transaction = producer.beginTransaction();
    receipts.push(await producer.send({ topic: 'orders', body: 'x' }, transaction));
  }
  let committed = 0;
  for (const [i, { transactionId, brokerName }] of receipts.entries()) {
    const commit = i % 2 === 0;
    const { COMMIT, ROLLBACK } = transactionResolution;
    const [mine, contrary] = commit ? [COMMIT, ROLLBACK] : [ROLLBACK, COMMIT];
    const other = otherThan(brokerName);
    expect((await end(other, transactionId, mine)).code).toBe(statusCode.OK);
    expect((await end(brokerName, transactionId, mine)).code).toBe(statusCode.OK);
    const refused = await end(other, transactionId, contrary);
    expect(refused.code).toBe(statusCode.INVALID_TRANSACTION_ID);
    expect(refused.message).toContain('first decision stands');
    if (commit) committed++;
    expect(await admin.transaction(transactionId)).toMatchObject([
      { brokerGroup: brokerName, state: commit ? 'committed' : 'rolled-back' },
    ]);
  }
  const topics = await admin.topics('orders');
  const stored = topics.flatMap(({ queues }) => queues.map(({ maxOffset }) => maxOffset));
  expect(stored.reduce((sum, count) => sum + count, 0)).toBe(committed);
  for (const group of GROUPS) {
    const status = await end(group, 'never', transactionResolution.COMMIT);
    expect(status.code).toBe(statusCode.INVALID_TRANSACTION_ID);
  }
}, 60_000);
