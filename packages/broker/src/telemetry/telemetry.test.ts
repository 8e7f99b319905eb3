import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type RpcStream, type StreamListener } from '@raftmq/rpc';
import { callContext, EdgeFixture } from '../testing/edge-fixture.js';
import { type GroupConfig } from '../messaging.js';
import { fitBackoff } from './node-backoff.js';
import { endTelemetry, pushGroupSettings, repeatSettings, telemetry } from './telemetry.js';
import { telemetryCommandCodec } from './wire.js';

interface Answer {
  readonly status: { readonly code: number; readonly message: string };
  readonly settings: {
    readonly backoffPolicy: {
      readonly maxAttempts: number;
      readonly exponentialBackoff?: {
        readonly initial: { readonly seconds: number; readonly nanos: number };
      };
      readonly customizedBackoff?: { readonly next: readonly object[] };
    };
    readonly subscription?: { readonly fifo: boolean };
  } | null;
}

/** One Telemetry stream as the server sees it. */
class FakeStream implements RpcStream<Buffer, Buffer> {
  readonly sent: Answer[] = [];
  listener: StreamListener<Buffer> | null = null;
  ended = false;
  failure: Error | null = null;
  pending = 0;
  pendingBytes = 0;

  get closed(): boolean {
    return this.ended || this.failure !== null;
  }

  listen(listener: StreamListener<Buffer>): void {
    this.listener = listener;
  }

  write(message: Buffer): boolean {
    this.sent.push(telemetryCommandCodec().decode(message) as unknown as Answer);
    return true;
  }

  drained(): Promise<void> {
    return Promise.resolve();
  }

  pause(): void {
    return undefined;
  }

  resume(): void {
    return undefined;
  }

  end(): void {
    this.ended = true;
  }

  fail(error: Error): void {
    this.failure = error;
  }

  receive(command: object): void {
    this.listener!.message(telemetryCommandCodec().encode(command));
  }
}

const topic = { resourceNamespace: '', name: 'orders' };
const producer = { settings: { clientType: 1, publishing: { topics: [topic] } } };
const consumer = (expression = '*') => ({
  settings: {
    clientType: 2,
    subscription: {
      group: { resourceNamespace: '', name: 'workers' },
      subscriptions: [{ topic, expression: { type: 1, expression } }],
    },
  },
});

let edge: EdgeFixture;
beforeEach(() => {
  edge = new EdgeFixture();
});
afterEach(() => {
  edge.registry.close();
});

function open(headers: Record<string, string> = { 'x-mq-client-id': 'c1' }): FakeStream {
  const stream = new FakeStream();
  const method = telemetry(edge.services);
  if (method.kind !== 'bidi') throw new Error('Telemetry is a bidirectional stream');
  method.handler(stream, callContext(method.path, headers));
  return stream;
}
const node = (version: string) => ({
  'x-mq-client-id': 'n1',
  'x-mq-language': 'HTTP',
  'x-mq-client-version': version,
});

describe('settings', () => {
  it('of members that subscribe differently are answered, and noted', () => {
    open().receive(consumer('a || b'));
    open({ 'x-mq-client-id': 'c2' }).receive(consumer('b || a'));
    expect(edge.services.subscriptions.conflicts('workers')).toEqual([]);
    const stream = open({ 'x-mq-client-id': 'c3' });
    stream.receive(consumer('c'));
    expect(stream.sent[0]?.status.code).toBe(20000);
    expect(edge.services.subscriptions.conflicts('workers')).toMatchObject([
      { topic: 'orders', choices: [{ filter: 'TAG a || b' }, { filter: 'TAG c' }] },
    ]);
  });

  it('are answered each time, and tell who the client is', () => {
    const stream = open();
    stream.receive(consumer());
    stream.receive(consumer('a || b'));
    expect(stream.sent.map((answer) => answer.status.code)).toEqual([20000, 20000]);
    expect(edge.registry.describe('c1')).toEqual({
      clientType: 2,
      group: 'workers',
      topics: ['orders'],
    });
  });

  it('carry what the group says', () => {
    edge.messaging.groupMap.set('workers', { name: 'workers', fifo: true, maxAttempts: 3 });
    const stream = open();
    stream.receive(consumer());
    expect(stream.sent[0]?.settings).toMatchObject({
      subscription: { fifo: true },
      backoffPolicy: { maxAttempts: 3 },
    });
    expect(stream.sent[0]?.settings?.backoffPolicy.customizedBackoff?.next).toHaveLength(18);
  });

  it.each([
    ['neither side', { settings: { clientType: 1 } }],
    [
      'an illegal topic',
      { settings: { publishing: { topics: [{ resourceNamespace: '', name: 'a/b' }] } } },
    ],
    [
      'an illegal group',
      {
        settings: {
          subscription: { group: { resourceNamespace: '', name: '' }, subscriptions: [] },
        },
      },
    ],
    [
      'a reserved client property',
      { settings: { ...producer.settings, clientProperties: { 'rocketmq.x': 'y' } } },
    ],
    [
      'a long client property',
      { settings: { ...producer.settings, clientProperties: { x: 'y'.repeat(257) } } },
    ],
    [
      'a command that is too large',
      { settings: { ...producer.settings, userAgent: { hostname: 'h'.repeat(5_000) } } },
    ],
  ])('with %s end the stream', (_, command) => {
    const stream = open();
    stream.receive(command);
    expect(stream.failure).toMatchObject({
      status: 'INVALID_ARGUMENT',
      message: expect.stringMatching(/^process client telemetryCommand failed\. /),
    });
    expect(edge.registry.streams).toBe(0);
  });

  it('with an illegal filter are refused to Java alone: the starts of other SDKs would wait for ever', () => {
    const java = open({ 'x-mq-client-id': 'j1', 'x-mq-language': 'JAVA' });
    java.receive(consumer('a|b'));
    expect(java.failure).toMatchObject({ status: 'INVALID_ARGUMENT' });
    const go = open({ 'x-mq-client-id': 'g1', 'x-mq-language': 'GOLANG' });
    go.receive(consumer('a|b'));
    expect(go.failure).toBeNull();
    expect(go.sent[0]?.status.code).toBe(20000);
  });

  it('sent without end end the stream, but not over a longer time', async () => {
    const stream = open();
    for (let i = 0; i < 5; i++) stream.receive(producer);
    await edge.clock.advance(60_001);
    stream.receive(producer);
    expect(stream.failure).toBeNull();
    for (let i = 0; i < 5; i++) stream.receive(producer);
    expect(stream.failure?.message).toContain('more than 5 Settings in a minute');
  });

  it('of unforeseen trouble end the stream as an internal error', () => {
    edge.messaging.group = () => {
      throw new TypeError('inside');
    };
    const stream = open();
    stream.receive(consumer());
    expect(stream.failure).toMatchObject({ status: 'INTERNAL' });
    expect(edge.probe.unexpectedErrors).toBe(1);
  });
});

describe('the Node.js SDK', () => {
  it('gets its settings again four times, and at heartbeats', async () => {
    const stream = open(node('1.0.8'));
    stream.receive(producer);
    const counts: number[] = [];
    for (const ms of [199, 1, 300, 1_500, 3_000, 60_000]) {
      await edge.clock.advance(ms);
      counts.push(stream.sent.length);
    }
    expect(counts).toEqual([1, 2, 3, 4, 5, 5]);
    repeatSettings(edge.services, 'n1');
    expect(stream.sent).toHaveLength(6);
    expect(stream.sent[5]).toEqual(stream.sent[0]);
  });

  it('is left alone once its stream is over', async () => {
    const stream = open(node('1.0.8'));
    stream.receive(producer);
    stream.listener!.closed(null);
    await edge.clock.advance(10_000);
    expect(stream.sent).toHaveLength(1);
  });

  it('gets times as it reads them: milliseconds in the place of seconds', () => {
    const initial = (version: string, command: object) => {
      const stream = open({ ...node(version), 'x-mq-client-id': version });
      stream.receive(command);
      const policy = stream.sent[0]!.settings!.backoffPolicy;
      return [policy.maxAttempts, policy.exponentialBackoff?.initial];
    };
    expect(initial('1.0.8', producer)).toEqual([3, { seconds: 10, nanos: 0 }]);
    expect(initial('1.0.7', consumer())).toEqual([17, { seconds: 1_000, nanos: 0 }]);
    // A version that may have learned to read them gets them as they are.
    expect(initial('1.1.0', consumer())).toEqual([17, { seconds: 1, nanos: 0 }]);
  });

  it('alone gets that treatment', async () => {
    const stream = open();
    stream.receive(producer);
    await edge.clock.advance(10_000);
    repeatSettings(edge.services, 'c1');
    expect(stream.sent).toHaveLength(1);
    const reply = { backoffPolicy: { maxAttempts: 3 } };
    expect(fitBackoff(reply, { language: 'NODE_JS', clientVersion: '2.0.0' })).toBe(reply);
  });
});

describe('streams', () => {
  it('without a client id get a command that says so, and end', () => {
    const stream = open({});
    expect(stream.sent[0]?.status.code).toBe(40017);
    expect(stream.ended).toBe(true);
    stream.receive(producer);
    expect(stream.sent).toHaveLength(1);
  });

  it('beyond the limit of clients are refused, and the oldest of one client gives way', () => {
    const first = open();
    open();
    open();
    expect([first.ended, edge.registry.streams]).toEqual([true, 2]);
    for (const clientId of ['c2', 'c3']) open({ 'x-mq-client-id': clientId });
    const refused = open({ 'x-mq-client-id': 'c4' });
    expect([refused.sent[0]?.status.code, refused.ended]).toEqual([42900, true]);
  });

  it('end when the client is done, or the process stops', () => {
    const stream = open();
    stream.listener!.ended!();
    expect(stream.ended).toBe(true);
    const other = open({ 'x-mq-client-id': 'c2' });
    endTelemetry(edge.registry);
    expect(other.ended).toBe(true);
  });

  it('ignore and count answers that nobody asked for, and fail on bytes that are no command', () => {
    const stream = open();
    stream.receive({ verifyMessageResult: { nonce: 'x' } });
    stream.receive({});
    expect([stream.sent, edge.probe.telemetryIgnored]).toEqual([[], 2]);
    stream.listener!.message(Buffer.from([0xff, 0xff]));
    expect(stream.failure).toMatchObject({ status: 'INVALID_ARGUMENT' });
  });
});

describe('a group that changes', () => {
  const waits = (answer: Answer | undefined): number | undefined =>
    answer?.settings?.backoffPolicy.customizedBackoff?.next.length;
  const workers = { name: 'workers', fifo: false, maxAttempts: 17 };
  const list = { kind: 'list', waitsMs: [1_000, 2_000] } as const;
  const put = (config: GroupConfig): void => {
    edge.messaging.groupMap.set(config.name, config);
    pushGroupSettings(edge.registry, [config.name]);
  };

  it('is told to its connected clients, once for each change, and to nobody else', () => {
    const stream = open();
    stream.receive(consumer());
    const others = open({ 'x-mq-client-id': 'p1' });
    others.receive(producer);
    const silent = open({ 'x-mq-client-id': 'c2' });
    edge.registry.seen('c2', { group: 'workers' });
    put(workers);
    expect(stream.sent).toHaveLength(1);
    put({ ...workers, retryPolicy: list });
    put({ ...workers, retryPolicy: list });
    expect(stream.sent).toHaveLength(2);
    expect(stream.sent[1]!.status.code).toBe(20000);
    expect(waits(stream.sent[1])).toBe(2);
    put({ ...workers, maxAttempts: 3, fifo: true });
    expect(stream.sent[2]!.settings).toMatchObject({
      backoffPolicy: { maxAttempts: 3 },
      subscription: { fifo: true },
    });
    expect([others.sent.length, silent.sent.length]).toEqual([1, 0]);
    expect(edge.probe.settingsPushed).toBe(2);
  });

  it('is told on the newest stream of a client, and not on one that is gone or does not read', () => {
    const first = open();
    first.receive(consumer());
    const second = open();
    second.receive(consumer());
    put({ ...workers, maxAttempts: 3 });
    expect([first.sent.length, second.sent.length]).toEqual([1, 2]);
    second.pendingBytes = 17 * 1024 * 1024;
    put({ ...workers, maxAttempts: 4 });
    second.end();
    second.pendingBytes = 0;
    put({ ...workers, maxAttempts: 5 });
    expect(second.sent).toHaveLength(2);
  });

  it('is told to a C++ client only when more than its waits change: it appends them', () => {
    const stream = open({ 'x-mq-client-id': 'c1', 'x-mq-language': 'CPP' });
    stream.receive(consumer());
    put({ ...workers, retryPolicy: list });
    expect(stream.sent).toHaveLength(1);
    put({ ...workers, retryPolicy: list, maxAttempts: 3 });
    expect(stream.sent).toHaveLength(2);
  });

  it('is told to a Node.js client in its own form, which later repeats keep', async () => {
    const stream = open(node('1.0.8'));
    stream.receive(consumer());
    put({ ...workers, maxAttempts: 3 });
    await edge.clock.advance(10_000);
    const attempts = stream.sent.map(({ settings }) => settings?.backoffPolicy.maxAttempts);
    expect(attempts.slice(0, 2)).toEqual([17, 3]);
    expect(new Set(attempts.slice(1))).toEqual(new Set([3]));
    expect(stream.sent[1]!.settings?.backoffPolicy.exponentialBackoff).toBeDefined();
  });
});

describe('silent clients', () => {
  it('expire after two minutes, once', async () => {
    edge.registry.seen('c1', { clientType: 2, group: 'workers' });
    await edge.clock.advance(115_000);
    edge.registry.seen('c2');
    await edge.clock.advance(20_000);
    expect(edge.expired).toEqual(['c1']);
    expect([edge.registry.describe('c1'), edge.registry.size]).toEqual([null, 1]);
  });

  it('keep an open stream, and are known again when they speak', async () => {
    const stream = open();
    stream.receive(producer);
    await edge.clock.advance(140_000);
    expect([edge.expired, stream.ended]).toEqual([['c1'], false]);
    edge.registry.seen('c1');
    await edge.clock.advance(140_000);
    expect(edge.expired).toEqual(['c1', 'c1']);
    stream.listener!.closed(null);
    expect(edge.registry.size).toBe(0);
  });
});
