import { randomBytes } from 'node:crypto';
import { assert, MqError, type Clock, type Logger } from '@raftmq/base';
import { type CommitLogReader, type QueueIndex } from '@raftmq/broker-store';
import {
  fifoQueueIndex,
  prepareStoredMessage,
  RECEIPT_SECRET_SIZE_BYTES,
  settingsDefaults,
  UNKNOWN_HOST,
  type PreparedMessage,
  type ReceiptHandle,
  type StoredHost,
} from '@raftmq/protocol';
import { type RoleStatus } from '@raftmq/raft';
import { DeliveryQueues } from '../lite/delivery-queues.js';
import { LiteService, type LiteSubscriptionChange } from '../lite/lite-service.js';
import { PollRegistry } from '../longpoll/poll-registry.js';
import {
  type AckTarget,
  type DeliveredMessage,
  type GroupConfig,
  type GroupQueue,
  type Messaging,
  type OffsetQuery,
  type PublishMessage,
  type PullRequest,
  type PullResult,
  type ReceiveRequest,
  type ResetQueue,
  type ResetTarget,
  type SendResult,
  type TimedPublishMessage,
  type TimedSendResult,
  type TopicConfig,
} from '../messaging.js';
import { type DeliveryOutcome } from '../pop/delivery.js';
import { type ChangeInvisibleResult, type LeasedOffset } from '../state/commands/index.js';
import {
  type BrokerStateMachine,
  type StateListener,
  type StateNews,
} from '../state/state-machine.js';
import { timerConfig, type TimerSettings } from '../timers/settings.js';
import { TimerService } from '../timers/timer-service.js';
import { DeadLetterDesk } from './dead-letter-desk.js';
import { DeadLetters, type DeadLetterCause } from './dead-letters.js';
import { newGroup } from './group-behaviour.js';
import { GroupOffsets } from './group-offsets.js';
import { NextOffsets } from './next-offsets.js';
import { offsetByTimestamp } from './offset-by-time.js';
import { createMessagingProbe, type MessagingProbe } from './probe.js';
import { OnceOnly } from './once-only.js';
import { RecordsProposer, type ProposedRecord, type Proposer } from './proposals.js';
import { Puller } from './puller.js';
import { forgedReceipt, receiptError, Receipts } from './receipts.js';
import { Receiver } from './receiver.js';
import { Renewals } from './renewals.js';
import { sendSizeBytes } from './send-size.js';
import { type MessagingServiceSettings } from './settings.js';
import { Transactions } from './transactions/transactions.js';

export interface MessagingServiceOptions {
  readonly state: BrokerStateMachine;
  readonly proposer: Proposer;
  readonly queueIndex: QueueIndex;
  readonly log: Pick<CommitLogReader, 'cachedRecord' | 'readRecord'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly settings: MessagingServiceSettings;
  /** Defaults when left out. */
  readonly timerSettings?: Partial<TimerSettings>;
  /** Name of the broker group; part of every receipt handle. */
  readonly brokerGroup: string;
  /** Address written into stored messages; unknown when left out. */
  readonly storeHost?: StoredHost;
  /** For the secret of receipt handles; the system's generator when left out. */
  readonly randomBytes?: (sizeBytes: number) => Buffer;
}

const READABLE = 4;
const WRITABLE = 2;

/** {@link Messaging} on top of the state machine and whatever takes proposals. Knows nothing of the wire. */
export class MessagingService implements Messaging, StateListener {
  readonly probe: MessagingProbe = createMessagingProbe();
  readonly transactions: Transactions;
  readonly #options: MessagingServiceOptions;
  readonly #state: BrokerStateMachine;
  readonly #offsets: NextOffsets;
  readonly #proposer: RecordsProposer;
  readonly #onceOnly: OnceOnly;
  readonly #receipts: Receipts;
  readonly #polls: PollRegistry;
  readonly #receiver: Receiver;
  readonly #puller: Puller;
  readonly #groupOffsets: GroupOffsets;
  readonly #deadLetters: DeadLetters;
  /** Dead letters for those who look after them. */
  readonly deadLetterDesk: DeadLetterDesk;
  readonly #renewals: Renewals;
  readonly #lite: LiteService;
  readonly timers: TimerService;
  readonly #storeHost: StoredHost;
  /** Next queue of the round robin, by topic. */
  readonly #rotation = new Map<string, number>();
  #role: RoleStatus = { role: 'follower', term: 0, leaderId: null, writable: false };
  #secretProposed: Promise<unknown> | null = null;
  #stopped = false;
  /** What to wake once the running calls of the driver are over: topic to groups, null = all of them. */
  #wakes = new Map<string, Set<string> | null>();
  /** Groups whose polls are to be looked at in all topics. */
  #groupWakes = new Set<string>();

  /** Listens to the state machine from here on. */
  constructor(options: MessagingServiceOptions) {
    this.#options = options;
    const { state, queueIndex, log, clock, logger, settings } = options;
    const { tables } = state;
    const { probe } = this;
    const queues = new DeliveryQueues(queueIndex, tables.lite);
    this.#state = state;
    this.#storeHost = options.storeHost ?? UNKNOWN_HOST;
    this.#offsets = new NextOffsets(tables);
    const proposer = new RecordsProposer(options.proposer, this.#offsets);
    this.#proposer = proposer;
    this.#onceOnly = new OnceOnly({
      recent: state.recentSends,
      proposer: options.proposer,
      offsets: this.#offsets,
      queueIndex,
      log,
      clock,
      probe,
      appliedIndex: () => state.appliedIndex,
      refusal: () => this.#refusal(),
    });
    const receipts = new Receipts(tables, options.brokerGroup);
    this.#receipts = receipts;
    const polls = new PollRegistry(clock, settings);
    this.#polls = polls;
    const storeHost = this.#storeHost;
    const deadLetters = new DeadLetters({
      tables,
      queueIndex: queues,
      log,
      proposer,
      storeHost,
      logger,
      probe,
    });
    this.#deadLetters = deadLetters;
    const refusal = (): MqError | null => this.#refusal();
    this.deadLetterDesk = new DeadLetterDesk({
      tables,
      queueIndex,
      log,
      proposer,
      storeHost,
      probe,
      refusal,
    });
    this.#receiver = new Receiver({
      tables,
      queueIndex: queues,
      log,
      proposer,
      deadLetters,
      receipts,
      polls,
      clock,
      logger,
      settings,
      probe,
      lastStoreTimestampMs: () => state.lastStoreTimestampMs,
      refusal: () => this.#refusal(),
    });
    this.#puller = new Puller({ tables, queueIndex, log, polls, clock, logger, probe, refusal });
    this.#groupOffsets = new GroupOffsets({ tables, queueIndex, log, proposer, probe });
    const clientsMax = settings.renewClientsMax;
    this.#renewals = new Renewals({ tables, proposer, clock, logger, probe, clientsMax });
    this.transactions = new Transactions({
      tables,
      proposer,
      clock,
      logger,
      settings,
      storeHost,
      queueFor: (config, messageGroup) => this.#nextQueue(config, messageGroup),
      refusal: () => this.#refusal(),
    });
    this.#lite = new LiteService({
      tables,
      queues,
      proposer,
      offsetByTime: (topic, queueId, timestampMs) =>
        offsetByTimestamp({ queueIndex, log }, topic, queueId, timestampMs),
      clock,
      logger,
      settings,
      clientExpiryMs: settingsDefaults.clientExpiryMs,
    });
    this.timers = new TimerService({
      tables,
      proposer: options.proposer,
      records: proposer,
      offsets: this.#offsets,
      clock,
      logger,
      settings: timerConfig(options.timerSettings),
      brokerGroup: options.brokerGroup,
      storeHost,
      lastStoreTimestampMs: () => state.lastStoreTimestampMs,
    });
    state.setListener(this);
  }

  get role(): RoleStatus {
    return this.#role;
  }

  get topicsVersion(): number {
    return this.#state.topicsVersion;
  }

  /** Message ids remembered to notice repeated sends, and the memory that takes: gauges. */
  get rememberedSends(): { readonly count: number; readonly sizeBytes: number } {
    const recent = this.#state.recentSends;
    return { count: recent?.size ?? 0, sizeBytes: recent?.sizeBytes ?? 0 };
  }

  /** Receive calls that wait: a gauge. */
  get waitingPolls(): number {
    return this.#polls.size;
  }

  topic(name: string): TopicConfig | null {
    return this.#state.tables.topics.get(name)?.config ?? null;
  }

  *topics(): Iterable<TopicConfig> {
    for (const topic of this.#state.tables.topics.values()) yield topic.config;
  }

  group(name: string): GroupConfig | null {
    return this.#state.tables.groups.get(name)?.config ?? null;
  }

  *groups(): Iterable<GroupConfig> {
    for (const group of this.#state.tables.groups.values()) yield group.config;
  }

  async send(topic: TopicConfig, messages: readonly PublishMessage[]): Promise<SendResult> {
    assert(messages.length > 0, 'a send call has messages');
    const config = this.#writable(topic.name);
    const prepared = this.#prepare(topic.name, messages);
    const queueId = this.#queueFor(config, messages);
    const row = this.#state.tables.topics.get(topic.name)!;
    const call = { topic: row, queueId, messages, prepared };
    const result = await this.#onceOnly.send(call).catch((error: unknown) => {
      this.probe.sendsFailed++;
      throw error;
    });
    const isNew = result.repeats?.isNew;
    this.probe.messagesSent +=
      isNew === undefined ? messages.length : isNew.filter((fresh) => fresh).length;
    return result;
  }

  async sendTimed(
    topic: TopicConfig,
    messages: readonly TimedPublishMessage[],
  ): Promise<readonly TimedSendResult[]> {
    assert(messages.length > 0, 'a send call has messages');
    this.#needLeader();
    // The recall handles need it.
    if (!this.#receipts.ready) await this.#ensureSecret();
    const config = this.#writable(topic.name);
    const queueId = this.#queueFor(config, messages);
    try {
      const results = await this.timers.send(topic.name, messages, queueId);
      this.probe.messagesSent += messages.length;
      return results;
    } catch (error) {
      this.probe.sendsFailed++;
      throw error;
    }
  }

  async recall(topic: string, handle: string): Promise<string> {
    this.#needLeader();
    return this.timers.recall(topic, handle);
  }

  async receive(request: ReceiveRequest): Promise<readonly DeliveredMessage[]> {
    this.#needLeader();
    const topic = this.topic(request.topic);
    if (topic === null)
      throw new MqError('TOPIC_NOT_FOUND', `topic ${request.topic} does not exist`);
    if ((topic.permission & READABLE) === 0) {
      throw new MqError('FORBIDDEN', `topic ${request.topic} is not readable`);
    }
    if (request.queueId !== null && request.queueId >= topic.queues) {
      throw new MqError('FORBIDDEN', `topic ${request.topic} has no queue ${request.queueId}`);
    }
    assert(request.batchSize > 0, 'a receive call asks for messages');
    this.clientSeen(request.clientId);
    if (!this.#receipts.ready) await this.#ensureSecret();
    const group = this.group(request.group);
    if (group === null || group.consumeFrom !== undefined) {
      await this.#begin(request.group, request.topic);
    }
    return this.#receiver.receive(request);
  }

  async pull(request: PullRequest): Promise<PullResult> {
    this.#needLeader();
    const { config } = this.#groupOffsets.queueRow(request.topic, request.queueId);
    if ((config.permission & READABLE) === 0) {
      throw new MqError('FORBIDDEN', `topic ${request.topic} is not readable`);
    }
    assert(request.batchSize > 0, 'a pull call asks for messages');
    if (this.group(request.group) === null) await this.#createGroup(request.group);
    this.#needLeader();
    return this.#puller.pull(request);
  }

  async updateOffset(queue: GroupQueue, offset: number): Promise<number> {
    this.#needLeader();
    this.#groupOffsets.queueRow(queue.topic, queue.queueId);
    if (this.group(queue.group) === null) await this.#createGroup(queue.group);
    return this.#groupOffsets.update(queue, offset);
  }

  committedOffset(queue: GroupQueue): number | null {
    this.#needLeader();
    this.#groupOffsets.queueRow(queue.topic, queue.queueId);
    return this.#groupOffsets.committed(queue);
  }

  async queryOffset(topic: string, queueId: number, query: OffsetQuery): Promise<number> {
    this.#needLeader();
    return this.#groupOffsets.query(topic, queueId, query);
  }

  async resetOffset(
    group: string,
    topic: string,
    queueId: number | null,
    target: ResetTarget,
    dryRun: boolean,
  ): Promise<readonly ResetQueue[]> {
    this.#needLeader();
    const queues = await this.#groupOffsets.reset(group, topic, queueId, target, dryRun);
    for (const queue of queues) {
      if (!dryRun) this.#deadLetters.moved({ group, topic, queueId: queue.queueId });
    }
    return queues;
  }

  async ack(
    group: string,
    topic: string,
    targets: readonly AckTarget[],
  ): Promise<readonly (MqError | null)[]> {
    this.#needLeader();
    const answers: (MqError | null)[] = new Array<MqError | null>(targets.length).fill(null);
    const byQueue = new Map<number, { readonly at: number[]; readonly targets: LeasedOffset[] }>();
    for (let i = 0; i < targets.length; i++) {
      const receipt = this.#receipts.parse(targets[i]!.receiptHandle, group, topic);
      if (receipt === null) {
        answers[i] = forgedReceipt();
        continue;
      }
      let queue = byQueue.get(receipt.queueId);
      if (queue === undefined) byQueue.set(receipt.queueId, (queue = { at: [], targets: [] }));
      queue.at.push(i);
      queue.targets.push({ offset: receipt.queueOffset, leaseId: receipt.leaseId });
    }
    if (byQueue.size > 0) {
      const records: ProposedRecord[] = [];
      for (const [queueId, queue] of byQueue) {
        records.push({ command: { kind: 'ack', group, topic, queueId, targets: queue.targets } });
      }
      const results = (await this.#proposer.propose(
        records,
      )) as readonly (readonly DeliveryOutcome[])[];
      let record = 0;
      for (const queue of byQueue.values()) {
        const outcomes = results[record++]!;
        for (let i = 0; i < queue.at.length; i++)
          answers[queue.at[i]!] = receiptError(outcomes[i]!);
      }
    }
    for (const answer of answers) {
      if (answer === null) this.probe.messagesAcked++;
      else this.probe.staleReceipts++;
    }
    return answers;
  }

  async changeInvisible(
    group: string,
    topic: string,
    target: AckTarget,
    invisibleMs: number,
    suspend: boolean,
  ): Promise<string> {
    this.#needLeader();
    const receipt = this.#parse(target, group, topic);
    const { queueId, queueOffset, leaseId, attempt } = receipt;
    const result = (await this.#proposer.command({
      kind: 'change-invisible',
      group,
      topic,
      queueId,
      offsets: [queueOffset],
      leaseId,
      invisibleMs,
      suspend,
    })) as ChangeInvisibleResult;
    const error = receiptError(result.outcome);
    if (error !== null) {
      this.probe.staleReceipts++;
      throw error;
    }
    this.probe.invisibleChanges++;
    return this.#receipts.handles
      .lease(group, topic, queueId, result.leaseId)
      .handle(queueOffset, attempt);
  }

  async forwardToDeadLetterQueue(
    group: string,
    topic: string,
    target: AckTarget,
    cause?: DeadLetterCause,
  ): Promise<void> {
    this.#needLeader();
    const { tables } = this.#state;
    if (!tables.groups.has(group)) {
      throw new MqError('CONSUMER_GROUP_NOT_FOUND', `consumer group ${group} does not exist`);
    }
    const { queueId, queueOffset, leaseId } = this.#parse(target, group, topic);
    const delivery = tables.delivery(group, topic, queueId);
    const outcome = delivery?.state.check(queueOffset, leaseId) ?? 'stale';
    // Moved before, or acknowledged: there is nothing left to do.
    if (outcome === 'done' || outcome === 'ignored') return;
    const error = outcome === 'open' ? null : receiptError(outcome);
    if (error !== null) {
      this.probe.staleReceipts++;
      throw error;
    }
    await this.#deadLetters.move({ group, topic, queueId }, [queueOffset], cause);
  }

  async syncLiteSubscription(change: LiteSubscriptionChange): Promise<void> {
    this.#needLeader();
    if (this.topic(change.topic)?.type !== 'LITE') {
      throw new MqError(
        'TOPIC_NOT_FOUND',
        `topic ${change.topic} of type LITE does not exist; create it with raftmq topic create`,
      );
    }
    if (this.group(change.group) === null) await this.#createGroup(change.group);
    await this.#lite.sync(change);
  }

  clientGone(clientId: string, group: string | null): void {
    if (!this.#role.writable) return;
    this.#renewals.gone(clientId, group);
    this.#lite.clientGone(clientId, group);
  }

  clientSeen(clientId: string): void {
    this.#renewals.seen(clientId);
    this.#lite.clientSeen(clientId);
  }

  async putTopic(topic: TopicConfig): Promise<void> {
    this.#needLeader();
    await this.#proposer.command({ kind: 'put-topic', topic, ifMissing: false });
  }

  async deleteTopic(name: string): Promise<void> {
    this.#needLeader();
    if (this.topic(name) === null)
      throw new MqError('TOPIC_NOT_FOUND', `topic ${name} does not exist`);
    await this.#proposer.command({ kind: 'delete-topic', name });
  }

  async putGroup(group: GroupConfig): Promise<void> {
    this.#needLeader();
    await this.#proposer.command({ kind: 'put-group', group, ifMissing: false });
  }

  async deleteGroup(name: string): Promise<void> {
    this.#needLeader();
    if (this.group(name) === null) {
      throw new MqError('CONSUMER_GROUP_NOT_FOUND', `consumer group ${name} does not exist`);
    }
    await this.#proposer.command({ kind: 'delete-group', name });
    this.#receiver.forgetGroup(name);
  }

  /** Answers everyone who waits and ends all timers. What is proposed already is settled by the driver. */
  stop(): void {
    this.#stopped = true;
    this.#renewals.stop();
    this.#lite.stop();
    this.timers.stop();
    this.transactions.stop();
    this.#polls.failAll(
      new MqError('HA_NOT_AVAILABLE', 'this replica is stopping; ask another one'),
    );
    this.#polls.stop();
  }

  /** From the state machine. */
  roleChanged(status: RoleStatus): void {
    const before = this.#role;
    this.#role = status;
    if (status.writable && !(before.writable && before.term === status.term)) {
      this.#offsets.reset();
      this.#onceOnly.reset();
      this.#receiver.reset();
      this.#deadLetters.reset();
      this.deadLetterDesk.reset();
      this.#secretProposed = null;
      this.#renewals.start();
      this.#lite.start();
      this.timers.start();
      this.transactions.start();
      queueMicrotask(() => this.#secretAtStart());
    } else if (before.writable && !status.writable) {
      this.#renewals.stop();
      this.#lite.stop();
      this.timers.stop();
      this.transactions.stop();
      this.#polls.failAll(notLeading());
      this.#receiver.reset();
    }
  }

  /** From the state machine: remembers whom to wake, and does it when the driver is done with its own work. */
  applied(news: StateNews): void {
    for (const topic of news.topicsDeleted) {
      this.#rotation.delete(topic);
      this.timers.forgetTopic(topic);
      this.#receiver.forgetTopic(topic);
      this.#polls.failAll(new MqError('TOPIC_NOT_FOUND', `topic ${topic} was deleted`), topic);
    }
    if (!this.#role.writable) return;
    this.timers.applied(news.timers);
    this.transactions.applied(news.halves);
    if (this.#polls.size === 0) return;
    if (this.#wakes.size + this.#groupWakes.size === 0) queueMicrotask(() => this.#wakeAll());
    for (const topic of news.arrivals) this.#wakes.set(topic.config.name, null);
    for (const group of news.groupsChanged) this.#groupWakes.add(group);
    for (const { topic, group } of news.touched) {
      const groups = this.#wakes.get(topic);
      if (groups === undefined) this.#wakes.set(topic, new Set([group]));
      else groups?.add(group);
    }
  }

  #wakeAll(): void {
    const wakes = this.#wakes;
    this.#wakes = new Map();
    const groupWakes = this.#groupWakes;
    this.#groupWakes = new Set();
    if (!this.#role.writable || this.#stopped) return;
    for (const [topic, groups] of wakes) {
      if (groups === null) this.#polls.wake(topic, null);
      else for (const group of groups) this.#polls.wake(topic, group);
    }
    for (const group of groupWakes) this.#polls.wakeGroup(group);
  }

  /** The topic's settings as they are now. @throws MqError HA_NOT_AVAILABLE, TOPIC_NOT_FOUND, FORBIDDEN */
  #writable(topic: string): TopicConfig {
    this.#needLeader();
    const config = this.topic(topic);
    if (config === null) throw new MqError('TOPIC_NOT_FOUND', `topic ${topic} does not exist`);
    if ((config.permission & WRITABLE) === 0) {
      throw new MqError('FORBIDDEN', `topic ${topic} is not writable`);
    }
    return config;
  }

  #needLeader(): void {
    const refusal = this.#refusal();
    if (refusal !== null) throw refusal;
  }

  #refusal(): MqError | null {
    return this.#role.writable && !this.#stopped ? null : notLeading();
  }

  #secretAtStart(): void {
    if (this.#refusal() === null) this.#ensureSecret().catch(() => undefined);
  }

  #parse(target: AckTarget, group: string, topic: string): ReceiptHandle {
    const receipt = this.#receipts.parse(target.receiptHandle, group, topic);
    if (receipt !== null) return receipt;
    this.probe.staleReceipts++;
    throw forgedReceipt();
  }

  #prepare(topic: string, messages: readonly PublishMessage[]): readonly PreparedMessage[] {
    const options = { storeHost: this.#storeHost };
    const prepared: PreparedMessage[] = new Array<PreparedMessage>(messages.length);
    for (let i = 0; i < messages.length; i++)
      prepared[i] = prepareStoredMessage(messages[i]!, topic, options);
    this.probe.messageBytesSent += sendSizeBytes(prepared);
    return prepared;
  }

  #queueFor(topic: TopicConfig, messages: readonly PublishMessage[]): number {
    const first = messages[0]!;
    const { messageGroup } = first;
    for (const message of messages) {
      if (message.messageGroup !== messageGroup) {
        throw new MqError(
          'BAD_REQUEST',
          'messages of one call must have the same message group, or none',
        );
      }
    }
    if (topic.type === 'LITE') return this.#liteQueue(topic, messages);
    if (topic.type === 'PRIORITY') {
      return Math.min(Math.max(first.priority ?? 0, 0), topic.queues - 1);
    }
    return this.#nextQueue(topic, messageGroup);
  }

  #nextQueue(topic: TopicConfig, messageGroup: string | null): number {
    if (messageGroup !== null) return fifoQueueIndex(messageGroup, topic.queues);
    const turn = this.#rotation.get(topic.name) ?? 0;
    this.#rotation.set(topic.name, turn + 1);
    return turn % topic.queues;
  }

  #liteQueue(topic: TopicConfig, messages: readonly PublishMessage[]): number {
    const name = messages[0]!.liteTopic ?? '';
    const { lite } = this.#state.tables;
    const known = lite.byName(topic.name, name);
    if (known !== undefined) return known.queueId;
    const limit = this.#options.settings.liteTopicsMax;
    if (lite.count(topic.name) < limit) return fifoQueueIndex(name, topic.queues);
    throw new MqError(
      'LITE_TOPIC_QUOTA_EXCEEDED',
      `topic ${topic.name} has ${limit} lite topics, which is the limit (setting liteTopicsMax); use those there are`,
    );
  }

  /** Makes sure that the group is there, and knows where it begins in the topic. */
  async #begin(name: string, topic: string): Promise<void> {
    if (this.group(name) === null) await this.#createGroup(name);
    const group = this.group(name);
    if (group?.consumeFrom !== undefined) await this.#groupOffsets.open(group, topic);
    this.#needLeader();
  }

  async #createGroup(name: string): Promise<void> {
    const { autoCreateGroup } = this.#options.settings;
    if (!autoCreateGroup) {
      throw new MqError(
        'CONSUMER_GROUP_NOT_FOUND',
        `consumer group ${name} does not exist, and groups are not created on first use here; create it with raftmq group create`,
      );
    }
    const group = newGroup(name, this.#options.settings);
    await this.#proposer.command({ kind: 'put-group', group, ifMissing: true });
  }

  /** The first leader that finds no secret puts one into the log, in front of every delivery. */
  #ensureSecret(): Promise<unknown> {
    if (this.#receipts.ready) return Promise.resolve();
    if (this.#secretProposed !== null) return this.#secretProposed;
    const secret = (this.#options.randomBytes ?? randomBytes)(RECEIPT_SECRET_SIZE_BYTES);
    const proposed = this.#proposer.command({ kind: 'set-cluster-secret', secret });
    this.#secretProposed = proposed;
    // The next receive tries again, and tells its caller what is wrong.
    proposed.catch(() => (this.#secretProposed = null));
    return proposed;
  }
}

function notLeading(): MqError {
  return new MqError('HA_NOT_AVAILABLE', 'this replica does not lead its group; ask the leader');
}
