import { MqError } from '@raftmq/base';
import { parseTopicType } from '@raftmq/protocol';
import { callFailure, isTransportFailure } from '../status-error.js';
import {
  AdminCalls,
  type AdminClientOptions,
  CHANGE_TIMEOUT_MS,
  checkResult,
  resultError,
} from './admin-calls.js';
import { MessageAdmin } from './message-admin.js';
import {
  type FoundMessages,
  type ListMessagesInput,
  type MessageTrace,
  type QueryMessagesInput,
} from './message-model.js';
import {
  type ConsumerGroupInfo,
  type ConsumerGroupStatus,
  type DeadLetterInfo,
  type GroupInfo,
  type RaftGroupStatus,
  type ResendOutcome,
  type ResetQueue,
  type ResetTarget,
  type TopicInfo,
  type TopicStatus,
  type TransactionInfo,
} from './model.js';
import { leaderFirst, summarize } from './replica-view.js';
import {
  groupFromWire,
  groupToWire,
  type WireListDeadLetters,
  type WireListGroups,
  type WireListTopics,
  type WireRaftStatus,
  type WireResendDeadLetters,
  type WireResetOffset,
  type WireResumed,
  type WireTransactions,
} from './wire.js';

/** What a reset is about. */
export interface ResetRequest {
  readonly group: string;
  readonly topic: string;
  readonly target: ResetTarget;
  /** One queue; left out: all of the topic. */
  readonly queueId?: number;
  /** One broker group; left out: all that have the topic. */
  readonly brokerGroup?: string;
  /** Only says what would be done. */
  readonly dryRun?: boolean;
}

const resetTargets = { beginning: 0, end: 1, timestamp: 2, offset: 3 } as const;
/** Dead letters of one call. */
const LETTERS_PER_PAGE = 256;
const RESENDS_PER_CALL = 64;

/** Queries may read much of the log. */
const QUERY_TIMEOUT_MS = 10_000;

/**
 * Administration of a whole cluster: what is said once here is done at every broker group. Close it at the end.
 */
export class AdminClient {
  readonly #calls: AdminCalls;
  readonly #messages: MessageAdmin;

  /** @throws MqError CONFIG_INVALID when neither NameServers nor endpoints are given, or one cannot be read */
  constructor(options: AdminClientOptions) {
    this.#calls = new AdminCalls(options);
    this.#messages = new MessageAdmin((method, request, absent, brokerGroup) =>
      this.#calls.askAll(method, request, absent, brokerGroup, QUERY_TIMEOUT_MS),
    );
  }

  close(): void {
    this.#calls.close();
  }

  /**
   * All broker groups, ordered by name.
   * @throws MqError HA_NOT_AVAILABLE when nobody answers, PRECONDITION_FAILED when no group is known
   */
  groups(): Promise<readonly GroupInfo[]> {
    return this.#calls.groups();
  }

  /**
   * Creates a topic at every broker group, or at one, or changes it.
   * @param createOnly fail when it exists with other settings
   */
  async putTopic(topic: TopicInfo, createOnly: boolean, brokerGroup?: string): Promise<void> {
    await this.#calls.change('PutTopic', { topic, createOnly }, brokerGroup);
  }

  /** Deletes a topic and its messages everywhere. @throws MqError TOPIC_NOT_FOUND when no group has it */
  async deleteTopic(name: string): Promise<void> {
    await this.#calls.change('DeleteTopic', { name }, undefined, 'TOPIC_NOT_FOUND');
  }

  /** All topics, one entry per topic and broker group. @param name one topic; '' = all */
  async topics(name = ''): Promise<readonly TopicStatus[]> {
    const perGroup = await this.#calls.askAll<WireListTopics>(
      'ListTopics',
      { name },
      'TOPIC_NOT_FOUND',
    );
    return perGroup.flatMap(({ group, answer }) =>
      answer.topics.map((entry) => ({
        brokerGroup: group,
        topic: { ...entry.topic, type: parseTopicType(entry.topic.type) ?? 'NORMAL' },
        queues: [...entry.queues].sort((a, b) => a.queueId - b.queueId),
      })),
    );
  }

  /** Creates a consumer group at every broker group, or changes it. */
  async putGroup(group: ConsumerGroupInfo, createOnly: boolean): Promise<void> {
    await this.#calls.change('PutGroup', { group: groupToWire(group), createOnly });
  }

  /** Deletes a consumer group and its progress. @throws MqError CONSUMER_GROUP_NOT_FOUND when nobody has it */
  async deleteGroup(name: string): Promise<void> {
    await this.#calls.change('DeleteGroup', { name }, undefined, 'CONSUMER_GROUP_NOT_FOUND');
  }

  /** All consumer groups, one entry per group and broker group. @param name one group; '' = all */
  async consumerGroups(name = ''): Promise<readonly ConsumerGroupStatus[]> {
    const perGroup = await this.#calls.askAll<WireListGroups>(
      'ListGroups',
      { name },
      'CONSUMER_GROUP_NOT_FOUND',
    );
    return perGroup.flatMap(({ group, answer }) =>
      answer.groups.map((entry) => ({
        brokerGroup: group,
        group: groupFromWire(entry.group),
        progress: [...entry.progress].sort(
          (a, b) => a.topic.localeCompare(b.topic) || a.queueId - b.queueId,
        ),
        conflicts: entry.conflicts,
      })),
    );
  }

  /**
   * What is known of a transaction, open or over.
   * @throws MqError INVALID_TRANSACTION_ID when no broker group knows it
   */
  async transaction(transactionId: string): Promise<readonly TransactionInfo[]> {
    const found = await this.#transactions('GetTransaction', { transactionId });
    if (found.length > 0) return found;
    throw new MqError(
      'INVALID_TRANSACTION_ID',
      `no transaction ${JSON.stringify(transactionId)} is known; outcomes are kept for a while only (broker setting transactionOutcomeMs)`,
    );
  }

  /** Transactions without a decision, oldest first; at most `countMax` of each broker group. */
  transactions(
    filter: { readonly topic?: string; readonly state?: 'pending' | 'parked' } = {},
    countMax = 100,
  ): Promise<readonly TransactionInfo[]> {
    const { topic = '', state = '' } = filter;
    return this.#transactions('ListTransactions', { topic, state, countMax });
  }

  /**
   * Lets brokers ask producers again about parked transactions: one, those of a topic, or all.
   * @returns how many
   */
  async resumeTransactions(filter: {
    readonly topic?: string;
    readonly transactionId?: string;
  }): Promise<number> {
    const { topic = '', transactionId = '' } = filter;
    const answers = await this.#calls.askAll<WireResumed>(
      'ResumeTransactions',
      { topic, transactionId },
      'INVALID_TRANSACTION_ID',
    );
    return answers.reduce((sum, { answer }) => sum + answer.count, 0);
  }

  async #transactions(method: string, request: object): Promise<readonly TransactionInfo[]> {
    const perGroup = await this.#calls.askAll<WireTransactions>(
      method,
      request,
      'INVALID_TRANSACTION_ID',
    );
    const found = perGroup.flatMap(({ group, answer }) =>
      answer.transactions.map((entry) => ({
        brokerGroup: group,
        ...entry,
        nextCheckAtMs: entry.nextCheckAtMs === 0 ? null : entry.nextCheckAtMs,
        parkedAtMs: entry.parkedAtMs === 0 ? null : entry.parkedAtMs,
        decidedAtMs: entry.decidedAtMs === 0 ? null : entry.decidedAtMs,
      })),
    );
    return found.sort((a, b) => a.storedAtMs - b.storedAtMs);
  }

  /**
   * Puts a consumer group somewhere else in a topic, also back. Members that run go on from there; what they hold is
   * handed out again, and their receipt handles are void.
   * @returns one entry per broker group and queue
   * @throws MqError CONSUMER_GROUP_NOT_FOUND or TOPIC_NOT_FOUND when no broker group knows both, ILLEGAL_OFFSET
   */
  async resetOffset(request: ResetRequest): Promise<readonly ResetQueue[]> {
    const { group, topic, target, queueId = -1, brokerGroup, dryRun = false } = request;
    const value =
      target.kind === 'timestamp'
        ? target.timestampMs
        : target.kind === 'offset'
          ? target.offset
          : 0;
    const wire = { group, topic, queueId, target: resetTargets[target.kind], value, dryRun };
    const brokers = await this.#calls.selected(brokerGroup);
    const done: ResetQueue[] = [];
    let absent: MqError | null = null;
    for (const broker of brokers) {
      const answer = await this.#calls.unary<WireResetOffset>(
        leaderFirst(broker),
        'ResetOffset',
        wire,
        CHANGE_TIMEOUT_MS,
      );
      const failure = resultError(answer.result);
      // A group reads a topic of several broker groups at those it has polled, and exists nowhere else.
      if (failure?.code === 'CONSUMER_GROUP_NOT_FOUND' || failure?.code === 'TOPIC_NOT_FOUND') {
        absent = failure;
        continue;
      }
      if (failure !== null) throw failure;
      for (const queue of answer.queues) done.push({ brokerGroup: broker.group, ...queue });
    }
    if (done.length === 0 && absent !== null) throw absent;
    return done;
  }

  /**
   * The dead letters of a consumer group, broker group by broker group, oldest first, page by page as they are read.
   * @throws MqError CONSUMER_GROUP_NOT_FOUND when no broker group knows it
   */
  async *deadLetters(group: string, brokerGroup?: string): AsyncIterable<DeadLetterInfo> {
    const brokers = await this.#calls.selected(brokerGroup);
    let absent: MqError | null = null;
    let found = false;
    for (const broker of brokers) {
      let fromOffset = 0;
      for (;;) {
        const answer = await this.#calls.unary<WireListDeadLetters>(
          leaderFirst(broker),
          'ListDeadLetters',
          { group, fromOffset, countMax: LETTERS_PER_PAGE },
        );
        const failure = resultError(answer.result);
        if (failure?.code === 'CONSUMER_GROUP_NOT_FOUND') {
          absent = failure;
          break;
        }
        if (failure !== null) throw failure;
        found = true;
        for (const letter of answer.letters) yield { brokerGroup: broker.group, ...letter };
        fromOffset = answer.nextOffset;
        if (fromOffset >= answer.endOffset) break;
      }
    }
    if (!found && absent !== null) throw absent;
  }

  /**
   * Sends dead letters again, each to the topic that it came from. One that was sent before is not sent again.
   * @param offsets in the group's dead-letter queue on that broker group
   * @returns one outcome per offset, in order
   */
  async resendDeadLetters(
    brokerGroup: string,
    group: string,
    offsets: readonly number[],
  ): Promise<readonly ResendOutcome[]> {
    const [broker] = await this.#calls.selected(brokerGroup);
    const outcomes: ResendOutcome[] = [];
    for (let at = 0; at < offsets.length; at += RESENDS_PER_CALL) {
      const answer = await this.#calls.unary<WireResendDeadLetters>(
        leaderFirst(broker!),
        'ResendDeadLetters',
        { group, offsets: offsets.slice(at, at + RESENDS_PER_CALL) },
        CHANGE_TIMEOUT_MS,
      );
      checkResult(answer.result);
      for (const { queueOffset, code, message, sent } of answer.outcomes)
        outcomes.push({ queueOffset, error: resultError({ code, message }), sent });
    }
    return outcomes;
  }

  /** Raft's view of every replica that is known or configured; replicas that do not answer are `up: false`. */
  async raftStatus(): Promise<readonly RaftGroupStatus[]> {
    return Promise.all((await this.groups()).map((group) => this.#raftStatusOf(group)));
  }

  /**
   * Hands the leadership of a broker group over.
   * @param target node id, or -1 for the most advanced follower
   */
  async transferLeadership(brokerGroup: string, target: number): Promise<void> {
    await this.#calls.change('TransferLeadership', { target }, brokerGroup);
  }

  /**
   * Messages with an id, the client's or RocketMQ's offset message id, oldest first: several when one was sent twice, or
   * copied to a dead-letter queue. None is no failure.
   * @param topic only there; '' = anywhere
   * @param bodySizeMax bytes of each body
   */
  findMessages(messageId: string, topic = '', bodySizeMax = 4_194_304): Promise<FoundMessages> {
    return this.#messages.find(messageId, topic, bodySizeMax);
  }

  /** Messages of a topic with a key, newest first. @throws MqError TOPIC_NOT_FOUND */
  queryMessages(input: QueryMessagesInput): Promise<FoundMessages> {
    return this.#messages.query(input);
  }

  /** Messages of a topic in the order of storing; no consumer is moved. @throws MqError TOPIC_NOT_FOUND */
  listMessages(input: ListMessagesInput): Promise<FoundMessages> {
    return this.#messages.list(input);
  }

  /** What happened to every stored message with this id, oldest first. @throws MqError MESSAGE_NOT_FOUND */
  traceMessage(messageId: string, topic = ''): Promise<readonly MessageTrace[]> {
    return this.#messages.trace(messageId, topic);
  }

  async #raftStatusOf(group: GroupInfo): Promise<RaftGroupStatus> {
    const addresses = new Map(
      group.replicas.map((replica) => [replica.nodeId, replica.grpcAddress]),
    );
    const answers = new Map<number, WireRaftStatus>();
    const ask = async (id: number, address: string): Promise<void> => {
      try {
        const answer = await this.#calls.unaryAt<WireRaftStatus>(address, 'GetRaftStatus', {});
        if (answer.nodeId === id) answers.set(id, answer);
      } catch (error) {
        if (!isTransportFailure(error)) throw callFailure(error);
      }
    };
    await Promise.all([...addresses].map(([id, address]) => ask(id, address)));
    // A replica that is down left the NameServer's list; its peers know it by their configuration.
    const configured = [...answers.values()].flatMap((answer) => answer.replicas);
    const missing = new Map(
      configured
        .filter(({ nodeId, grpcAddress }) => !addresses.has(nodeId) && grpcAddress !== '')
        .map(({ nodeId, grpcAddress }) => [nodeId, grpcAddress]),
    );
    await Promise.all([...missing].map(([id, address]) => ask(id, address)));
    const ids = new Set([
      ...addresses.keys(),
      ...missing.keys(),
      ...[...answers.values()].flatMap((answer) => answer.voters),
    ]);
    return summarize(
      group,
      [...ids].sort((a, b) => a - b),
      answers,
    );
  }
}
