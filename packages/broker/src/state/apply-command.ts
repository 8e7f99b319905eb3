import { MqError } from '@raftmq/base';
import { type GroupConfig, type TopicConfig } from '../messaging.js';
import { type DeliveryGrant, type DeliveryOutcome } from '../pop/delivery.js';
import { newDelivery } from '../pop/rows.js';
import { type Command, type DeliveryName } from './commands.js';
import { GroupRow, TopicRow, type DeliveryRow, type Tables } from './tables.js';

/** What a command gives to the proposal that waits for it. */
export type CommandResult =
  null | MqError | DeliveryGrant | readonly DeliveryOutcome[] | ChangeInvisibleResult;

/** Outcome of a change-invisible command; `leaseId` belongs into the new receipt handle. */
export interface ChangeInvisibleResult {
  readonly outcome: DeliveryOutcome;
  readonly leaseId: number;
}

/** The entry that a command came in. */
export interface ApplyContext {
  readonly tables: Tables;
  readonly index: number;
  /** The entry's store timestamp: the only clock there is. */
  readonly nowMs: number;
  /** A topic came to be, changed or went away. */
  topicChanged(name: string, deleted: boolean): void;
}

/** Below this many open messages no queue is at its limit, however low that is set. */
const TOUCH_OPEN_MIN = 32;

const NOTHING_GRANTED: DeliveryGrant = { leaseId: 0, offsets: [], attempts: [] };

/**
 * Applies one command to the tables. The same on every replica: it looks at the tables, the command, the entry's index
 * and the entry's time, and at nothing else.
 */
export function applyCommand(context: ApplyContext, command: Command): CommandResult {
  const { tables } = context;
  switch (command.kind) {
    case 'put-topic':
      return putTopic(context, command.topic, command.ifMissing);
    case 'delete-topic': {
      const topic = tables.topics.get(command.name);
      if (topic === undefined) return null;
      tables.deleteTopic(topic);
      context.topicChanged(command.name, true);
      return null;
    }
    case 'put-group':
      return putGroup(tables, command.group, command.ifMissing);
    case 'delete-group': {
      const group = tables.groups.get(command.name);
      if (group !== undefined) tables.deleteGroup(group);
      return null;
    }
    case 'set-cluster-secret':
      if (tables.shared.secret === null) {
        tables.shared.secret = command.secret;
        tables.changed(tables.shared);
      }
      return null;
    case 'deliver':
      return deliver(context, command);
    case 'ack':
      return ack(tables, command);
    case 'change-invisible':
      return changeInvisible(context, command);
    case 'dead-letter': {
      const row = find(tables, command);
      if (row === undefined) return ['stale'];
      const outcome = row.state.complete(command.offset);
      tables.changed(row);
      tables.touched(row);
      return [outcome];
    }
    case 'renew-leases': {
      const row = find(tables, command);
      if (row === undefined) return null;
      row.state.renew(command.leaseIds, context.nowMs + command.invisibleMs, command.release);
      tables.changed(row);
      tables.touched(row);
      return null;
    }
  }
}

function putTopic(context: ApplyContext, config: TopicConfig, ifMissing: boolean): CommandResult {
  const { tables, index } = context;
  const row = tables.topics.get(config.name);
  if (row === undefined) {
    tables.putTopic(new TopicRow(config, index));
    context.topicChanged(config.name, false);
    return null;
  }
  if (ifMissing) return null;
  if (config.queues < row.config.queues) {
    return new MqError(
      'PRECONDITION_FAILED',
      `topic ${config.name} has ${row.config.queues} queues, and their messages would be out of reach with ${config.queues}; ` +
        'queues can only be added, or create the topic anew',
    );
  }
  row.config = config;
  tables.changed(row);
  context.topicChanged(config.name, false);
  return null;
}

function putGroup(tables: Tables, config: GroupConfig, ifMissing: boolean): CommandResult {
  const row = tables.groups.get(config.name);
  if (row === undefined) {
    tables.putGroup(new GroupRow(config));
    return null;
  }
  if (ifMissing) return null;
  if (config.fifo !== row.config.fifo) {
    const deliveries = [...row.deliveries.values()]
      .flat()
      .filter((delivery) => delivery !== undefined);
    const busy = deliveries.find((delivery) => !delivery.state.quiet);
    if (busy !== undefined) {
      return new MqError(
        'PRECONDITION_FAILED',
        `group ${config.name} has messages in flight on topic ${busy.topic}, queue ${busy.queueId}; ` +
          'ordered and concurrent delivery can be exchanged only when everything handed out is acknowledged',
      );
    }
    for (const delivery of deliveries) {
      delivery.state = newDelivery(config.fifo, delivery.state.nextOffset);
      tables.changed(delivery);
    }
  }
  row.config = config;
  tables.changed(row);
  return null;
}

function deliver(
  context: ApplyContext,
  command: Extract<Command, { kind: 'deliver' }>,
): DeliveryGrant {
  const { tables, nowMs } = context;
  const group = tables.groups.get(command.group);
  const topic = tables.topics.get(command.topic);
  // Deleted, perhaps made anew, since the command was planned.
  if (group === undefined || topic?.epoch !== command.topicEpoch) return NOTHING_GRANTED;
  if (command.endOffset > (topic.queues[command.queueId]?.endOffset ?? 0)) return NOTHING_GRANTED;
  const row = tables.openDelivery(group, command.topic, command.queueId);
  const grant = row.state.deliver(command, tables.shared, nowMs);
  tables.changed(tables.shared);
  tables.changed(row);
  tables.touched(row);
  return grant;
}

function ack(
  tables: Tables,
  command: Extract<Command, { kind: 'ack' }>,
): readonly DeliveryOutcome[] {
  const row = find(tables, command);
  if (row === undefined) return command.targets.map(() => 'stale');
  const { state } = row;
  const openBefore = state.openCount;
  const outcomes = command.targets.map((target) => state.ack(target.offset, target.leaseId));
  tables.changed(row);
  // An ack unblocks an ordered queue, or makes room in one that may have reached its limit.
  if (state.kind === 'ordered' || openBefore >= TOUCH_OPEN_MIN) tables.touched(row);
  return outcomes;
}

function changeInvisible(
  context: ApplyContext,
  command: Extract<Command, { kind: 'change-invisible' }>,
): ChangeInvisibleResult {
  const { tables, nowMs } = context;
  const row = find(tables, command);
  if (row === undefined) return { outcome: 'stale', leaseId: command.leaseId };
  const { offsets, leaseId, invisibleMs, suspend } = command;
  const visibleAtMs = nowMs + invisibleMs;
  const result = row.state.changeInvisible(offsets, leaseId, visibleAtMs, suspend, tables.shared);
  tables.changed(tables.shared);
  tables.changed(row);
  tables.touched(row);
  return result;
}

function find(tables: Tables, name: DeliveryName): DeliveryRow | undefined {
  return tables.delivery(name.group, name.topic, name.queueId);
}
