import { MqError } from '@raftmq/base';
import {
  brokerDefaults,
  checkGroupName,
  checkTopicName,
  parseTopicType,
  topicNotFound,
} from '@raftmq/protocol';
import { type RawMethod } from '@raftmq/rpc';
import { READABLE, WRITABLE } from '../handlers/route-entries.js';
import { type EdgeServices } from '../handlers/services.js';
import { type GroupConfig, type TopicConfig } from '../messaging.js';
import {
  type SubscriptionConflict,
  type SubscriptionWatch,
} from '../telemetry/subscription-watch.js';
import { adminContext, asResult, atLeader, here, inResult } from './admin-method.js';
import { type AdminSource } from './admin-source.js';
import { messageMethods } from './message-methods.js';
import { transactionMethods } from './transaction-methods.js';
import { groupFromWire, groupToWire, sameGroup, type WireGroup } from './wire-group.js';
import {
  listDeadLetters,
  resendDeadLetters,
  resetOffset,
  type WireListDeadLetters,
  type WireResend,
  type WireReset,
} from './offset-methods.js';

const QUEUES_MAX = 1_024;
const MAX_ATTEMPTS_MAX = 1_000;

type WireTopic = {
  readonly name: string;
  readonly type: string;
  readonly queues: number;
  readonly permission: number;
};

/** The methods of `raftmq.admin.v1.Admin`. */
export function adminMethods(services: EdgeServices, source: AdminSource): readonly RawMethod[] {
  const { messaging } = services;
  const context = adminContext(services);
  return [
    atLeader<{ topic: WireTopic | null; createOnly: boolean }>(
      context,
      'PutTopic',
      asResult,
      async ({ topic, createOnly }) => {
        const config = checkTopic(topic);
        checkTopicChange(messaging.topic(config.name), config, createOnly);
        await messaging.putTopic(config);
      },
    ),
    atLeader<{ name: string }>(context, 'DeleteTopic', asResult, async ({ name }) => {
      checkTopicName(name);
      if (messaging.topic(name) === null) throw topicNotFound(name);
      await messaging.deleteTopic(name);
    }),
    atLeader<{ group: WireGroup | null; createOnly: boolean }>(
      context,
      'PutGroup',
      asResult,
      async ({ group, createOnly }) => {
        const config = checkGroup(group, services.settings.groupMaxAttempts);
        checkGroupChange(messaging.group(config.name), config, createOnly);
        await messaging.putGroup(config);
      },
    ),
    atLeader<{ name: string }>(context, 'DeleteGroup', asResult, async ({ name }) => {
      checkGroupName(name);
      if (messaging.group(name) === null) throw groupNotFound(name);
      await messaging.deleteGroup(name);
    }),
    atLeader<{ name: string }>(context, 'ListTopics', inResult, async ({ name }) => ({
      topics: listTopics(source, name),
    })),
    atLeader<{ name: string }>(context, 'ListGroups', inResult, async ({ name }) => ({
      groups: listGroups(source, services.subscriptions, name),
    })),
    atLeader<WireReset>(context, 'ResetOffset', inResult, (request) =>
      resetOffset(messaging, request),
    ),
    atLeader<WireListDeadLetters>(context, 'ListDeadLetters', inResult, (request) =>
      listDeadLetters(source.deadLetterDesk, request),
    ),
    atLeader<WireResend>(context, 'ResendDeadLetters', inResult, (request) =>
      resendDeadLetters(source.deadLetterDesk, request),
    ),
    atLeader<{ target: number }>(context, 'TransferLeadership', asResult, ({ target }) =>
      transfer(source, target),
    ),
    here(context, 'GetRaftStatus', () => raftStatus(source)),
    ...messageMethods(context, source.queries),
    ...transactionMethods(context),
  ];
}

function checkTopic(topic: WireTopic | null): TopicConfig {
  if (topic === null) throw new MqError('BAD_REQUEST', 'the request holds no topic');
  checkTopicName(topic.name);
  const type = parseTopicType(topic.type === '' ? 'NORMAL' : topic.type);
  if (type === null) {
    throw new MqError(
      'BAD_REQUEST',
      `the topic type "${topic.type}" is not known; use NORMAL, FIFO, DELAY, TRANSACTION, MIXED, LITE or PRIORITY`,
    );
  }
  const queues = topic.queues === 0 ? brokerDefaults.queuesPerTopic : topic.queues;
  if (queues < 1 || queues > QUEUES_MAX)
    throw new MqError('BAD_REQUEST', `a topic has 1 to ${QUEUES_MAX} queues, not ${queues}`);
  const permission = topic.permission === 0 ? READABLE | WRITABLE : topic.permission;
  if ((permission & ~(READABLE | WRITABLE)) !== 0) {
    throw new MqError(
      'BAD_REQUEST',
      `the permission ${permission} is not known; use 4 (read), 2 (write) or 6 (both)`,
    );
  }
  return { name: topic.name, type, queues, permission };
}

function checkTopicChange(old: TopicConfig | null, config: TopicConfig, createOnly: boolean): void {
  if (old === null) return;
  const same =
    old.type === config.type &&
    old.queues === config.queues &&
    old.permission === config.permission;
  if (createOnly && !same) {
    throw new MqError(
      'PRECONDITION_FAILED',
      `topic ${config.name} exists with other settings: type ${old.type}, ${old.queues} queues, permission ${old.permission}`,
    );
  }
  if (config.queues < old.queues) {
    throw new MqError(
      'PRECONDITION_FAILED',
      `topic ${config.name} has ${old.queues} queues; their number can grow, not shrink: messages would be lost`,
    );
  }
}

function checkGroup(group: WireGroup | null, defaultMaxAttempts: number): GroupConfig {
  if (group === null) throw new MqError('BAD_REQUEST', 'the request holds no group');
  checkGroupName(group.name);
  const maxAttempts = group.maxAttempts === 0 ? defaultMaxAttempts : group.maxAttempts;
  if (maxAttempts < 1 || maxAttempts > MAX_ATTEMPTS_MAX) {
    throw new MqError(
      'BAD_REQUEST',
      `a message is delivered 1 to ${MAX_ATTEMPTS_MAX} times, not ${maxAttempts}`,
    );
  }
  return groupFromWire(group, maxAttempts);
}

function checkGroupChange(old: GroupConfig | null, config: GroupConfig, createOnly: boolean): void {
  if (old === null || !createOnly) return;
  if (sameGroup(old, config)) return;
  throw new MqError(
    'PRECONDITION_FAILED',
    `group ${config.name} exists with other settings: fifo ${old.fifo}, ${old.maxAttempts} attempts`,
  );
}

function groupNotFound(name: string): MqError {
  return new MqError(
    'CONSUMER_GROUP_NOT_FOUND',
    `there is no consumer group ${name}; "raftmq group list" shows all`,
  );
}

function listTopics(source: AdminSource, name: string): object[] {
  if (name !== '' && source.messaging.topic(name) === null) throw topicNotFound(name);
  const topics = name === '' ? [...source.messaging.topics()] : [source.messaging.topic(name)!];
  return topics
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((topic) => ({ topic, queues: source.queueStats(topic.name) }));
}

function listGroups(source: AdminSource, watch: SubscriptionWatch, name: string): object[] {
  if (name !== '' && source.messaging.group(name) === null) throw groupNotFound(name);
  const groups = name === '' ? [...source.messaging.groups()] : [source.messaging.group(name)!];
  return (
    groups
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      // The progress of every group on every queue would be a large answer: it comes with a single group.
      .map((group) => ({
        group: groupToWire(group),
        progress: name === '' ? [] : source.groupProgress(group.name),
        conflicts: name === '' ? [] : wireConflicts(watch.conflicts(group.name)),
      }))
  );
}

function wireConflicts(conflicts: readonly SubscriptionConflict[]): object[] {
  return conflicts.map(({ topic, choices }) => ({
    topic,
    choices: choices.map(({ filter, clientCount, clientIds }) => ({
      subscribed: filter !== null,
      filter: filter ?? '',
      clientCount,
      clientIds,
    })),
  }));
}

async function transfer(source: AdminSource, target: number): Promise<void> {
  if (target >= 0 && !source.voters.includes(target)) {
    throw new MqError(
      'BAD_REQUEST',
      `replica ${target} is not in this group; its replicas are ${source.voters.join(', ')}`,
    );
  }
  if (target === source.nodeId) return;
  await source.raft.transferLeadership(target < 0 ? null : target);
}

function raftStatus(source: AdminSource): object {
  const status = source.raft.status();
  const { appliedIndex, digest } = source.raft.digest();
  return {
    cluster: source.cluster,
    group: source.group,
    nodeId: source.nodeId,
    role: status.role,
    recovery: status.recovery,
    term: status.term,
    leaderId: status.leaderId ?? -1,
    firstIndex: status.firstIndex,
    lastIndex: status.lastIndex,
    commitIndex: status.commitIndex,
    appliedIndex,
    digest,
    voters: source.voters,
    replicas: source.replicas(),
  };
}
