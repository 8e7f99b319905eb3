import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { loadConfig, silentLogger } from '@raftmq/base';
import { Namesrv, namesrvSettings } from '@raftmq/namesrv';
import {
  type BrokerRegistration,
  NAMESRV_SERVICE,
  NameserverClient,
  type RegistrationAck,
} from '@raftmq/protocol';
import { RpcChannel, type RpcStream } from '@raftmq/rpc';

const closers: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function until(holds: () => Promise<boolean> | boolean, what: string): Promise<void> {
  const endsAt = Date.now() + 10_000;
  while (!(await holds())) {
    if (Date.now() > endsAt) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function startNamesrv(flags: Record<string, string> = {}): Promise<Namesrv> {
  const config = loadConfig(namesrvSettings, {
    flags: { host: '127.0.0.1', port: '0', metricsPort: '0', ...flags },
  });
  const namesrv = new Namesrv(config, silentLogger);
  await namesrv.start();
  closers.push(() => namesrv.stop());
  return namesrv;
}

function clientOf(...namesrvs: readonly (Namesrv | string)[]): NameserverClient {
  const addresses = namesrvs.map((each) =>
    typeof each === 'string' ? each : `127.0.0.1:${each.port}`,
  );
  const client = new NameserverClient({ addresses, timeoutMs: 1_000 });
  closers.push(() => client.close());
  return client;
}

const broker: BrokerRegistration = {
  cluster: 'c',
  group: 'g',
  nodeId: 0,
  startedAtMs: 1,
  grpcAddress: '127.0.0.1:8081',
  remotingAddress: '',
  metricsAddress: '',
  raftAddress: '',
  term: 2,
  leaderId: 0,
  topicsVersion: 1,
  topics: [{ name: 't', type: 'FIFO', readQueues: 8, writeQueues: 8, permission: 6 }],
  topicsUnchanged: false,
};

type Registering = RpcStream<RegistrationAck, BrokerRegistration>;

/** Registers and waits for the answer. */
async function register(
  namesrv: Namesrv,
  change: Partial<BrokerRegistration> = {},
): Promise<{ stream: Registering; acks: RegistrationAck[]; ended: () => boolean }> {
  const channel = new RpcChannel({ address: `127.0.0.1:${namesrv.port}`, tls: null });
  closers.push(() => channel.close());
  const stream: Registering = channel
    .service(NAMESRV_SERVICE)
    .bidi('Register', { deadlineMs: null });
  const acks: RegistrationAck[] = [];
  let ended = false;
  stream.listen({ message: (ack) => void acks.push(ack), closed: () => void (ended = true) });
  stream.write({ ...broker, ...change });
  await until(() => acks.length > 0, 'the registration is answered');
  return { stream, acks, ended: () => ended };
}

describe('a NameServer', () => {
  test('answers what brokers registered, until their streams close', async () => {
    const namesrv = await startNamesrv();
    const client = clientOf(namesrv);
    expect(await client.topicRoute('t')).toEqual([]);
    const { stream, acks } = await register(namesrv);
    expect(acks).toEqual([{ topicsVersion: 1, refused: '' }]);
    const [route] = await client.topicRoute('t');
    expect(route).toMatchObject({
      cluster: 'c',
      group: 'g',
      term: 2,
      leaderId: 0,
      topic: broker.topics[0],
    });
    expect(route?.replicas).toEqual([
      expect.objectContaining({ nodeId: 0, grpcAddress: '127.0.0.1:8081' }),
    ]);
    expect(await client.topicRoute('unknown')).toEqual([]);
    expect(await client.cluster()).toEqual([expect.objectContaining({ group: 'g', topic: null })]);
    stream.end();
    await until(async () => (await client.cluster()).length === 0, 'the group is gone');
  });

  test('drops a replica whose process dies, at once', async () => {
    const namesrv = await startNamesrv();
    const client = clientOf(namesrv);
    const { stream } = await register(namesrv);
    stream.fail(new Error('the process died'));
    await until(async () => (await client.cluster()).length === 0, 'the group is gone');
  });

  test('drops a replica that is silent, although its stream is open', async () => {
    const namesrv = await startNamesrv({ brokerExpiryMs: '1s', scanIntervalMs: '50' });
    const client = clientOf(namesrv);
    const { ended } = await register(namesrv);
    await until(async () => (await client.cluster()).length === 0, 'the group is gone');
    expect(namesrv.probe.expiredReplicas).toBe(1);
    expect(ended()).toBe(false);
  });

  test('refuses what makes no sense, and says why', async () => {
    const namesrv = await startNamesrv();
    const { acks, stream } = await register(namesrv, { grpcAddress: 'nonsense' });
    expect(acks[0]?.refused).toContain('is not host:port');
    stream.write(broker);
    await until(() => acks.length === 2, 'the second one is answered');
    expect(acks[1]?.refused).toBe('');
  });

  test('tells its numbers and its health over HTTP', async () => {
    const namesrv = await startNamesrv();
    await register(namesrv);
    const ask = async (path: string): Promise<string> =>
      (await fetch(`http://127.0.0.1:${namesrv.metricsPort}${path}`)).text();
    expect(await ask('/metrics')).toContain('\nraftmq_namesrv_replicas 1\n');
    expect(await ask('/readyz')).toBe('{"ready":true,"reasons":[]}');
  });
});

describe('a client of several NameServers', () => {
  test('goes on to the next when one is away or knows nothing', async () => {
    const empty = await startNamesrv();
    const full = await startNamesrv();
    await register(full);
    const client = clientOf('127.0.0.1:1', empty, full);
    expect(await client.topicRoute('t')).toHaveLength(1);
    // It stays with the one that knew: the empty one is not asked again.
    await client.topicRoute('t');
    expect(empty.probe.topicQueries).toBe(1);
    expect(await client.topicRoute('nowhere')).toEqual([]);
  });

  test('names them all when none answers', async () => {
    const client = clientOf('127.0.0.1:1', '127.0.0.1:2');
    const failure = client.cluster();
    await expect(failure).rejects.toMatchObject({ code: 'HA_NOT_AVAILABLE' });
    await expect(failure).rejects.toThrow(/127\.0\.0\.1:1: .*127\.0\.0\.1:2: /s);
  });
});

describe('raftmq namesrv', () => {
  let child: ChildProcess | null = null;
  let out = '';
  let err = '';

  beforeEach(() => {
    out = err = '';
  });

  afterEach(() => {
    if (child?.exitCode === null) child.kill('SIGKILL');
  });

  function run(...args: string[]): Promise<number | null> {
    const launcher = join(__dirname, '..', '..', 'packages', 'cli', 'bin', 'raftmq.js');
    const started = spawn(process.execPath, [launcher, 'namesrv', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child = started;
    started.stdout.on('data', (text: Buffer) => (out += text.toString()));
    started.stderr.on('data', (text: Buffer) => (err += text.toString()));
    return new Promise((resolve) => started.once('close', resolve));
  }

  test('prints one ready line, serves, and stops cleanly on SIGTERM', async () => {
    const exit = run('--host', '127.0.0.1', '--port', '0', '--metrics-port=0');
    await until(() => out.includes('\n'), 'the ready line');
    const ready = JSON.parse(out) as { port: number; pid: number };
    expect(ready.pid).toBe(child?.pid);
    expect(await clientOf(`127.0.0.1:${ready.port}`).cluster()).toEqual([]);
    child?.kill('SIGTERM');
    expect(await exit).toBe(0);
    expect(out.trim().split('\n')).toHaveLength(1);
  });

  test('exits with 1 and says so when its port is taken', async () => {
    const namesrv = await startNamesrv();
    expect(
      await run('--host', '127.0.0.1', '--port', `${namesrv.port}`, '--metrics-port', '0'),
    ).toBe(1);
    expect(err).toContain(`cannot listen on 127.0.0.1:${namesrv.port}`);
    expect(out).toBe('');
  });

  test('exits with 2 on a wrong flag, and explains itself with --help', async () => {
    expect(await run('--prot', '1')).toBe(2);
    expect(err).toContain('did you mean "--port"');
    expect(await run('--help')).toBe(0);
    expect(out).toContain('--broker-expiry-ms <ms>');
  });
});
