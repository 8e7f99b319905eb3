import { randomBytes } from 'node:crypto';
import { MqError } from '@raftmq/base';
import { settingsDefaults, UNKNOWN_HOST } from '@raftmq/protocol';
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
import {
  type BrokerStateMachine,
  type StateListener,
  type StateNews,
} from '../state/state-machine.js';
import { timerConfig } from '../timers/settings.js';
import { TimerService } from '../timers/timer-service.js';
import { Attempts } from './attempts.js';
import { ConsumerCalls } from './consumer-calls.js';
import { DeadLetterDesk } from './dead-letter-desk.js';
import { DeadLetters, type DeadLetterCause } from './dead-letters.js';
import { GroupOffsets } from './group-offsets.js';
import { Leadership, notLeading } from './leadership.js';
import { NextOffsets } from './next-offsets.js';
import { offsetByTimestamp } from './offset-by-time.js';
import { OnceOnly } from './once-only.js';
import { type MessagingServiceOptions } from './options.js';
import { PollWakes } from './poll-wakes.js';
import { createMessagingProbe, type MessagingProbe } from './probe.js';
import { RecordsProposer } from './proposals.js';
import { Puller } from './puller.js';
import { QueueChoice } from './queue-choice.js';
import { ReceiptCalls } from './receipt-calls.js';
import { ReceiptSecret } from './receipt-secret.js';
import { Receipts } from './receipts.js';
import { Receiver } from './receiver.js';
import { Renewals } from './renewals.js';
import { Sends } from './sends.js';
import { TopicsAndGroups } from './topics-and-groups.js';
import { Transactions } from './transactions/transactions.js';

/**
 * {@link Messaging} on top of the state machine and whatever takes proposals. Knows nothing of the wire. It puts the parts
 * together and tells them when a reign begins and ends, and what was applied; the calls themselves are theirs.
 */
export class MessagingService implements Messaging, StateListener {
  readonly probe: MessagingProbe = createMessagingProbe();
  readonly transactions: Transactions;
  readonly timers: TimerService;
  /** Dead letters for those who look after them. */
  readonly deadLetterDesk: DeadLetterDesk;
  readonly #state: BrokerStateMachine;
  readonly #leadership = new Leadership();
  readonly #offsets: NextOffsets;
  readonly #names: TopicsAndGroups;
  readonly #queueChoice: QueueChoice;
  readonly #secret: ReceiptSecret;
  readonly #onceOnly: OnceOnly;
  readonly #sends: Sends;
  readonly #polls: PollRegistry;
  readonly #wakes: PollWakes;
  readonly #attempts: Attempts;
  readonly #receiver: Receiver;
  readonly #consumers: ConsumerCalls;
  readonly #deadLetters: DeadLetters;
  readonly #receiptCalls: ReceiptCalls;
  readonly #renewals: Renewals;
  readonly #lite: LiteService;
  #groupsChanged: (groups: readonly string[]) => void = () => undefined;

  /** Listens to the state machine from here on. */
  constructor(options: MessagingServiceOptions) {
    const { state, queueIndex, log, clock, logger, settings, brokerGroup } = options;
    const { tables } = state;
    const leadership = this.#leadership;
    const storeHost = options.storeHost ?? UNKNOWN_HOST;
    const offsets = new NextOffsets(tables);
    const proposer = new RecordsProposer(options.proposer, offsets);
    const refusal = (): MqError | null => leadership.refusal();
    const lastStoreTimestampMs = (): number => state.lastStoreTimestampMs;
    /** What most parts need. */
    const shared = {
      tables,
      proposer,
      leadership,
      log,
      clock,
      logger,
      settings,
      storeHost,
      refusal,
      lastStoreTimestampMs,
      probe: this.probe,
    };
    const queues = new DeliveryQueues(queueIndex, tables.lite);
    const polls = new PollRegistry(clock, settings);
    const receipts = new Receipts(tables, brokerGroup);
    const names = new TopicsAndGroups(shared);
    const secret = new ReceiptSecret({
      ...shared,
      randomBytes: options.randomBytes ?? randomBytes,
    });
    const queueChoice = new QueueChoice(shared);
    const deadLetters = new DeadLetters({ ...shared, queueIndex: queues });
    const groupOffsets = new GroupOffsets({ ...shared, queueIndex });
    this.#state = state;
    this.#offsets = offsets;
    this.#names = names;
    this.#queueChoice = queueChoice;
    this.#secret = secret;
    this.#polls = polls;
    this.#deadLetters = deadLetters;
    this.#wakes = new PollWakes(polls, leadership);
    const stored = {
      ...shared,
      recent: state.recentSends,
      queueIndex,
      appliedIndex: () => state.appliedIndex,
      proposer: options.proposer,
      offsets,
    };
    this.#onceOnly = new OnceOnly(stored);
    this.timers = new TimerService({
      ...stored,
      records: proposer,
      settings: timerConfig(options.timerSettings),
      brokerGroup,
    });
    this.#sends = new Sends({
      ...shared,
      queueChoice,
      onceOnly: this.#onceOnly,
      timers: this.timers,
      secret,
    });
    this.transactions = new Transactions({
      ...shared,
      queueFor: (config, messageGroup) => queueChoice.next(config, messageGroup),
    });
    this.deadLetterDesk = new DeadLetterDesk({ ...shared, queueIndex });
    this.#renewals = new Renewals({
      ...shared,
      clientsMax: settings.renewClientsMax,
      unseenMs: settings.renewUnseenMs,
    });
    this.#attempts = new Attempts(shared);
    this.#receiver = new Receiver({
      ...shared,
      queueIndex: queues,
      deadLetters,
      receipts,
      polls,
      attempts: this.#attempts,
      renewals: this.#renewals,
    });
    this.#lite = new LiteService({
      ...shared,
      queues,
      offsetByTime: (topic, queueId, timestampMs) =>
        offsetByTimestamp({ queueIndex, log }, topic, queueId, timestampMs),
      clientExpiryMs: settingsDefaults.clientExpiryMs,
    });
    this.#consumers = new ConsumerCalls({
      clock,
      names,
      leadership,
      secret,
      attempts: this.#attempts,
      receiver: this.#receiver,
      puller: new Puller({ ...shared, queueIndex, polls }),
      groupOffsets,
      deadLetters,
      lite: this.#lite,
      clientSeen: (clientId) => this.clientSeen(clientId),
      confirmLeading: options.confirmLeading ?? (() => Promise.resolve()),
    });
    this.#receiptCalls = new ReceiptCalls({ ...shared, receipts, deadLetters });
    state.setListener(this);
  }

  get role(): RoleStatus {
    return this.#leadership.role;
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
    return this.#names.topic(name);
  }

  topics(): Iterable<TopicConfig> {
    return this.#names.topics();
  }

  group(name: string): GroupConfig | null {
    return this.#names.group(name);
  }

  groups(): Iterable<GroupConfig> {
    return this.#names.groups();
  }

  send(topic: TopicConfig, messages: readonly PublishMessage[]): Promise<SendResult> {
    return this.#sends.send(topic.name, messages);
  }

  sendTimed(
    topic: TopicConfig,
    messages: readonly TimedPublishMessage[],
  ): Promise<readonly TimedSendResult[]> {
    return this.#sends.sendTimed(topic.name, messages);
  }

  async recall(topic: string, handle: string): Promise<string> {
    this.#leadership.need();
    return this.timers.recall(topic, handle);
  }

  receive(request: ReceiveRequest): Promise<readonly DeliveredMessage[]> {
    return this.#consumers.receive(request);
  }

  pull(request: PullRequest): Promise<PullResult> {
    return this.#consumers.pull(request);
  }

  updateOffset(queue: GroupQueue, offset: number): Promise<number> {
    return this.#consumers.updateOffset(queue, offset);
  }

  committedOffset(queue: GroupQueue): Promise<number | null> {
    return this.#consumers.committedOffset(queue);
  }

  queryOffset(topic: string, queueId: number, query: OffsetQuery): Promise<number> {
    return this.#consumers.queryOffset(topic, queueId, query);
  }

  resetOffset(
    group: string,
    topic: string,
    queueId: number | null,
    target: ResetTarget,
    dryRun: boolean,
  ): Promise<readonly ResetQueue[]> {
    return this.#consumers.resetOffset(group, topic, queueId, target, dryRun);
  }

  ack(
    group: string,
    topic: string,
    targets: readonly AckTarget[],
  ): Promise<readonly (MqError | null)[]> {
    return this.#receiptCalls.ack(group, topic, targets);
  }

  changeInvisible(
    group: string,
    topic: string,
    target: AckTarget,
    invisibleMs: number,
    suspend: boolean,
  ): Promise<string> {
    return this.#receiptCalls.changeInvisible(group, topic, target, invisibleMs, suspend);
  }

  forwardToDeadLetterQueue(
    group: string,
    topic: string,
    target: AckTarget,
    cause?: DeadLetterCause,
  ): Promise<void> {
    return this.#receiptCalls.forwardToDeadLetterQueue(group, topic, target, cause);
  }

  syncLiteSubscription(change: LiteSubscriptionChange): Promise<void> {
    return this.#consumers.syncLiteSubscription(change);
  }

  clientGone(clientId: string, group: string | null): void {
    if (!this.role.writable) return;
    this.#renewals.gone(clientId, group);
    this.#lite.clientGone(clientId, group);
  }

  clientSeen(clientId: string): void {
    this.#renewals.seen(clientId);
    this.#lite.clientSeen(clientId);
  }

  putTopic(topic: TopicConfig): Promise<void> {
    return this.#names.putTopic(topic);
  }

  deleteTopic(name: string): Promise<void> {
    return this.#names.deleteTopic(name);
  }

  putGroup(group: GroupConfig): Promise<void> {
    return this.#names.putGroup(group);
  }

  async deleteGroup(name: string): Promise<void> {
    await this.#names.deleteGroup(name);
    this.#receiver.forgetGroup(name);
  }

  /** Answers everyone who waits and ends all timers. What is proposed already is settled by the driver. */
  stop(): void {
    this.#leadership.stop();
    this.#endReign();
    this.#polls.failAll(
      new MqError('HA_NOT_AVAILABLE', 'this replica is stopping; ask another one'),
    );
    this.#polls.stop();
  }

  /** Who wants to know of groups with another configuration; on every replica, when the driver is done with its own work. */
  watchGroups(changed: (groups: readonly string[]) => void): void {
    this.#groupsChanged = changed;
  }

  /** From the state machine. */
  roleChanged(status: RoleStatus): void {
    const change = this.#leadership.become(status);
    if (change === 'began') {
      this.#offsets.reset();
      this.#onceOnly.reset();
      this.#receiver.reset();
      this.#deadLetters.reset();
      this.deadLetterDesk.reset();
      this.#attempts.start();
      this.#renewals.start();
      this.#lite.start();
      this.timers.start();
      this.transactions.start();
      this.#secret.start();
    } else if (change === 'ended') {
      this.#endReign();
      this.#polls.failAll(notLeading());
      this.#receiver.reset();
    }
  }

  /** From the state machine: remembers whom to wake, and does it when the driver is done with its own work. */
  applied(news: StateNews): void {
    for (const topic of news.topicsDeleted) {
      this.#queueChoice.forgetTopic(topic);
      this.timers.forgetTopic(topic);
      this.#receiver.forgetTopic(topic);
      this.#polls.failAll(new MqError('TOPIC_NOT_FOUND', `topic ${topic} was deleted`), topic);
    }
    const { groupsChanged } = news;
    if (groupsChanged.length > 0) queueMicrotask(() => this.#groupsChanged(groupsChanged));
    if (!this.role.writable) return;
    this.timers.applied(news.timers);
    this.transactions.applied(news.halves);
    this.#wakes.add(news);
  }

  #endReign(): void {
    this.#attempts.stop();
    this.#renewals.stop();
    this.#lite.stop();
    this.timers.stop();
    this.transactions.stop();
  }
}
