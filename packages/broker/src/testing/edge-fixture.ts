import { MqError, silentLogger, type CancelTimer, type Clock } from '@raftmq/base';
import { type RoleStatus } from '@raftmq/raft';
import { type CallContext, type RawMethod, type RpcChannel, type StreamWriter } from '@raftmq/rpc';
import { Forwarder } from '../forward/forwarder.js';
import {
  GroupDirectory,
  type ReplicaAddress,
  type RouteLookup,
} from '../forward/group-directory.js';
import { LeaderWatch } from '../forward/leader-watch.js';
import { type LiteSubscriptionChange } from '../lite/lite-service.js';
import {
  type AckTarget,
  type DeliveredMessage,
  type GroupConfig,
  type GroupQueue,
  type HalfPublish,
  type Messaging,
  type OffsetQuery,
  type PublishMessage,
  type PullRequest,
  type PullResult,
  type ReceiveRequest,
  type RepeatedSends,
  type ResetQueue,
  type ResetTarget,
  type SendResult,
  type TimedPublishMessage,
  type TimedSendResult,
  type TopicConfig,
  type TransactionFilter,
  type TransactionMessaging,
  type TransactionStatus,
} from '../messaging.js';
import { noProducers } from '../messaging-service/transactions/producers.js';
import { EdgeProbe } from '../ops/edge-probe.js';
import { ClientRegistry } from '../telemetry/client-registry.js';
import { SubscriptionWatch } from '../telemetry/subscription-watch.js';
import { type EdgeServices } from '../handlers/services.js';

/*
 * Test fixture: the front door over a messaging service that remembers what it was asked, on a clock that stands still
 * until a test moves it. Imported by tests only.
 */

/** A clock that moves when told; timers fire in order of their time. */
export class FakeClock implements Clock {
  #nowMs = 1_000_000;
  #timers: { readonly atMs: number; readonly fire: () => void }[] = [];

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs;
  }

  setTimer(delayMs: number, fire: () => void): CancelTimer {
    const timer = { atMs: this.#nowMs + delayMs, fire };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Lets time pass in small steps, with room for promises in between. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      await settle();
      const due = this.#timers
        .filter((timer) => timer.atMs <= untilMs)
        .sort((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== due);
      this.#nowMs = Math.max(this.#nowMs, due.atMs);
      due.fire();
    }
    this.#nowMs = untilMs;
    await settle();
  }
}

/** Lets everything that can go on go on. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

/** Remembers calls and answers as told. */
export class FakeMessaging implements Messaging {
  role: RoleStatus = { role: 'leader', term: 1, leaderId: 0, writable: true };
  topicsVersion = 1;
  readonly topicMap = new Map<string, TopicConfig>();
  readonly groupMap = new Map<string, GroupConfig>();
  readonly sent: { topic: string; messages: readonly PublishMessage[] }[] = [];
  readonly recalled: { topic: string; handle: string }[] = [];
  readonly received: ReceiveRequest[] = [];
  readonly seen: string[] = [];
  readonly gone: string[] = [];
  readonly changes: { target: AckTarget; invisibleMs: number; suspend: boolean }[] = [];
  readonly deadLetters: AckTarget[] = [];
  readonly deadLetterCauses: { readonly reason: string; readonly attempts: number }[] = [];
  readonly liteChanges: LiteSubscriptionChange[] = [];
  readonly transactions = new FakeTransactions();
  readonly pulled: PullRequest[] = [];
  readonly offsets = new Map<string, number>();
  readonly offsetQueries: object[] = [];
  readonly resets: object[] = [];
  nextPull: PullResult = { records: [], nextOffset: 0, misplaced: null };
  nextDelivery: readonly DeliveredMessage[] = [];
  ackOutcomes: readonly (MqError | null)[] | null = null;
  /** Thrown by the next calls, one each. */
  failures: unknown[] = [];

  topic(name: string): TopicConfig | null {
    return this.topicMap.get(name) ?? null;
  }

  topics(): Iterable<TopicConfig> {
    return this.topicMap.values();
  }

  group(name: string): GroupConfig | null {
    return this.groupMap.get(name) ?? null;
  }

  groups(): Iterable<GroupConfig> {
    return this.groupMap.values();
  }

  /** What the next sends find out about their messages. */
  repeats: RepeatedSends | null = null;

  async send(topic: TopicConfig, messages: readonly PublishMessage[]): Promise<SendResult> {
    this.#fail();
    this.sent.push({ topic: topic.name, messages });
    const { repeats } = this;
    return { queueId: 0, firstQueueOffset: 7, ...(repeats === null ? {} : { repeats }) };
  }

  async sendTimed(
    topic: TopicConfig,
    messages: readonly TimedPublishMessage[],
  ): Promise<readonly TimedSendResult[]> {
    this.#fail();
    this.sent.push({ topic: topic.name, messages });
    return messages.map(({ messageId }) => ({
      queueOffset: 0,
      recallHandle: `h-${messageId}`,
      isNew: true,
    }));
  }

  async recall(topic: string, handle: string): Promise<string> {
    this.#fail();
    this.recalled.push({ topic, handle });
    return 'recalled-id';
  }

  async receive(request: ReceiveRequest): Promise<readonly DeliveredMessage[]> {
    this.#fail();
    this.received.push(request);
    return this.nextDelivery;
  }

  async ack(
    _group: string,
    _topic: string,
    targets: readonly AckTarget[],
  ): Promise<readonly (MqError | null)[]> {
    this.#fail();
    return this.ackOutcomes ?? targets.map(() => null);
  }

  async syncLiteSubscription(change: LiteSubscriptionChange): Promise<void> {
    this.#fail();
    this.liteChanges.push(change);
  }

  async changeInvisible(
    _group: string,
    _topic: string,
    target: AckTarget,
    invisibleMs: number,
    suspend: boolean,
  ): Promise<string> {
    this.#fail();
    this.changes.push({ target, invisibleMs, suspend });
    return `${target.receiptHandle}'`;
  }

  async forwardToDeadLetterQueue(
    _group: string,
    _topic: string,
    target: AckTarget,
    cause?: { readonly reason: string; readonly attempts: number },
  ): Promise<void> {
    this.#fail();
    this.deadLetters.push(target);
    if (cause !== undefined) this.deadLetterCauses.push(cause);
  }

  async pull(request: PullRequest): Promise<PullResult> {
    this.#fail();
    this.pulled.push(request);
    return this.nextPull;
  }

  async updateOffset(queue: GroupQueue, offset: number): Promise<number> {
    this.#fail();
    const key = `${queue.group}/${queue.topic}/${queue.queueId}`;
    this.offsets.set(key, Math.max(offset, this.offsets.get(key) ?? 0));
    return this.offsets.get(key)!;
  }

  async committedOffset(queue: GroupQueue): Promise<number | null> {
    this.#fail();
    return this.offsets.get(`${queue.group}/${queue.topic}/${queue.queueId}`) ?? null;
  }

  async queryOffset(topic: string, queueId: number, query: OffsetQuery): Promise<number> {
    this.#fail();
    this.offsetQueries.push({ topic, queueId, query });
    return 77;
  }

  async resetOffset(
    group: string,
    topic: string,
    queueId: number | null,
    target: ResetTarget,
    dryRun: boolean,
  ): Promise<readonly ResetQueue[]> {
    this.#fail();
    this.resets.push({ group, topic, queueId, target, dryRun });
    return [{ queueId: queueId ?? 0, before: 5, after: 2 }];
  }

  clientGone(clientId: string): void {
    this.gone.push(clientId);
  }

  clientSeen(clientId: string): void {
    this.seen.push(clientId);
  }

  async putTopic(topic: TopicConfig): Promise<void> {
    this.#fail();
    this.topicMap.set(topic.name, topic);
  }

  async deleteTopic(name: string): Promise<void> {
    this.#fail();
    this.topicMap.delete(name);
  }

  async putGroup(group: GroupConfig): Promise<void> {
    this.#fail();
    this.groupMap.set(group.name, group);
  }

  async deleteGroup(name: string): Promise<void> {
    this.#fail();
    this.groupMap.delete(name);
  }

  #fail(): void {
    const failure = this.failures.shift();
    // What a test puts in is thrown as it is, foreign values included.
    // eslint-disable-next-line @typescript-eslint/only-throw-error
    if (failure !== undefined) throw failure;
    if (!this.role.writable) throw new MqError('HA_NOT_AVAILABLE');
  }
}

/** Transactions that are in a list, and what was asked about them. */
export class FakeTransactions implements TransactionMessaging {
  readonly halves: { topic: string; clientId: string; message: HalfPublish }[] = [];
  readonly ended: { topic: string; id: string; commit: boolean; source: number }[] = [];
  readonly resumed: { topic: string | null; id: string | null }[] = [];
  readonly lists: TransactionFilter[] = [];
  statuses: readonly TransactionStatus[] = [];
  stored: Buffer | null = null;
  /** Thrown by every call to `end`. */
  refusal: MqError | null = null;

  async send(
    topic: TopicConfig,
    messages: readonly HalfPublish[],
    clientId: string,
  ): Promise<readonly number[]> {
    for (const message of messages) this.halves.push({ topic: topic.name, clientId, message });
    return messages.map((_, i) => this.halves.length - messages.length + i + 1);
  }

  async end(topic: string, id: string, commit: boolean, source: number): Promise<number> {
    if (this.refusal !== null) throw this.refusal;
    this.ended.push({ topic, id, commit, source });
    return commit ? 5 : 0;
  }

  async find(id: string): Promise<readonly TransactionStatus[]> {
    return this.statuses.filter((status) => status.transactionId === id);
  }

  async message(): Promise<Buffer | null> {
    return this.stored;
  }

  list(filter: TransactionFilter): readonly TransactionStatus[] {
    this.lists.push(filter);
    return this.statuses;
  }

  async resume(topic: string | null, id: string | null): Promise<number> {
    this.resumed.push({ topic, id });
    return 3;
  }
}

/** Collects what a stream method writes. */
export class FakeWriter implements StreamWriter<Buffer> {
  readonly written: Buffer[] = [];
  closed = false;
  pending = 0;
  /** Closes the stream once so many messages were written. */
  closeAfter = Infinity;

  get pendingBytes(): number {
    return 0;
  }

  write(message: Buffer): boolean {
    this.written.push(message);
    if (this.written.length >= this.closeAfter) this.closed = true;
    return true;
  }

  drained(): Promise<void> {
    return Promise.resolve();
  }
}

/** The context of one call. */
export function callContext(
  path: string,
  headers: Readonly<Record<string, string>> = { 'x-mq-client-id': 'c1' },
  deadlineMs: number | null = null,
  signal: AbortSignal = new AbortController().signal,
): CallContext {
  return {
    path,
    header: (name) => headers[name] ?? null,
    headers: () => headers,
    deadlineMs,
    peer: '10.0.0.9:5',
    signal,
    sendInitialMetadata: () => undefined,
  };
}

export interface EdgeFixtureOptions {
  readonly replicas?: readonly ReplicaAddress[];
  readonly lookup?: RouteLookup;
  readonly channel?: (address: string) => RpcChannel;
  readonly autoCreateTopic?: boolean;
  readonly holdMs?: number;
  readonly inFlightMax?: number;
}

/** The front door of replica 0 of group `broker-a`. */
export class EdgeFixture {
  readonly clock = new FakeClock();
  readonly messaging = new FakeMessaging();
  readonly probe = new EdgeProbe();
  readonly directory: GroupDirectory;
  readonly forwarder: Forwarder;
  readonly registry: ClientRegistry;
  readonly subscriptions: SubscriptionWatch;
  readonly services: EdgeServices;
  readonly expired: string[] = [];
  refusal: MqError | null = null;
  draining = false;

  constructor(options: EdgeFixtureOptions = {}) {
    const { clock, messaging, probe } = this;
    const role = (): RoleStatus => messaging.role;
    const replicas = options.replicas ?? [{ nodeId: 0, host: '10.0.0.1', port: 8081 }];
    this.directory = new GroupDirectory({
      ownGroup: 'broker-a',
      role,
      ownReplicas: () => replicas,
      ownTopic: (name) => messaging.topic(name),
      lookup: options.lookup ?? null,
      clock,
      logger: silentLogger,
      cacheMs: 5_000,
    });
    this.subscriptions = new SubscriptionWatch({
      clock,
      logger: silentLogger,
      clientsMax: 10,
      expiryMs: 120_000,
    });
    this.forwarder = new Forwarder({
      ownGroup: 'broker-a',
      role,
      watch: new LeaderWatch({ clock, role }),
      leaderAddress: (group) => this.directory.leaderAddress(group),
      suspect: (group) => this.directory.suspect(group),
      channel:
        options.channel ??
        (() => {
          throw new Error('nothing is forwarded in this test');
        }),
      clock,
      probe,
      holdMs: options.holdMs ?? 5_000,
      inFlightMax: options.inFlightMax ?? 100,
    });
    this.registry = new ClientRegistry({
      clock,
      clientsMax: 3,
      streamsMax: 2,
      expiryMs: 120_000,
      scanIntervalMs: 10_000,
      expired: (clientId) => this.expired.push(clientId),
    });
    this.services = {
      ownGroup: 'broker-a',
      settings: {
        autoCreateTopic: options.autoCreateTopic ?? false,
        autoCreateTopicQueues: 8,
        groupConsumeFrom: 'first',
        groupMaxAttempts: 17,
        liteSubscriptionsMax: 3,
        requestTimeoutMaxMs: 60_000,
        settingsBytesMax: 4096,
        settingsPerMinuteMax: 5,
        timerDelayMaxMs: 40 * 86_400_000,
      },
      messaging,
      forwarder: this.forwarder,
      directory: this.directory,
      registry: this.registry,
      subscriptions: this.subscriptions,
      producers: noProducers,
      clock,
      logger: silentLogger,
      probe,
      draining: () => this.draining,
      sendRefusal: () => this.refusal,
    };
  }

  addTopic(topic: Partial<TopicConfig> & { readonly name: string }): void {
    this.messaging.topicMap.set(topic.name, {
      type: 'NORMAL',
      queues: 2,
      permission: 6,
      ...topic,
    });
  }

  /** Makes this replica a follower of `leaderId`. */
  follow(leaderId: number | null, term = 2): void {
    this.messaging.role = { role: 'follower', term, leaderId, writable: false };
  }

  lead(term = 3): void {
    this.messaging.role = { role: 'leader', term, leaderId: 0, writable: true };
  }
}

/** Calls a unary method. */
export async function callUnary(
  method: RawMethod,
  request: Buffer,
  context: CallContext = callContext(method.path),
): Promise<Buffer> {
  if (method.kind !== 'unary') throw new Error(`${method.path} is not unary`);
  return method.handler(request, context);
}

/** Calls a streaming method and gives what it wrote. */
export async function callStream(
  method: RawMethod,
  request: Buffer,
  context: CallContext = callContext(method.path),
  writer = new FakeWriter(),
): Promise<readonly Buffer[]> {
  if (method.kind !== 'server-stream') throw new Error(`${method.path} is no server stream`);
  await method.handler(request, writer, context);
  return writer.written;
}
