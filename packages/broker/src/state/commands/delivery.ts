import {
  type DeliveryGrant,
  type DeliveryOrder,
  type DeliveryOutcome,
  type DeliveryRun,
} from '../../pop/delivery.js';
import { type BinaryReader, type BinaryWriter } from '../../pop/binary.js';
import { deliveryEpoch, type DeliveryRow, type Tables } from '../tables.js';
import { type ApplyContext, type CommandKind } from './command-kind.js';

/** Names one queue as one consumer group sees it. */
export interface DeliveryName {
  readonly group: string;
  readonly topic: string;
  readonly queueId: number;
}

/** Hands messages out. `epoch` is the {@link deliveryEpoch} for which this was planned: without effect in any other. */
export type Deliver = {
  readonly kind: 'deliver';
  readonly epoch: number;
} & DeliveryName &
  DeliveryOrder;

export interface LeasedOffset {
  readonly offset: number;
  readonly leaseId: number;
}

export type Ack = {
  readonly kind: 'ack';
  readonly targets: readonly LeasedOffset[];
} & DeliveryName;

export type ChangeInvisible = {
  readonly kind: 'change-invisible';
  readonly offsets: readonly number[];
  readonly leaseId: number;
  /** From the entry's store timestamp on. */
  readonly invisibleMs: number;
  readonly suspend: boolean;
} & DeliveryName;

/** Outcome of a change-invisible command; `leaseId` belongs into the new receipt handle. */
export interface ChangeInvisibleResult {
  readonly outcome: DeliveryOutcome;
  readonly leaseId: number;
}

/** The message was copied into the dead-letter queue by a record of the same entry. */
export type DeadLetter = { readonly kind: 'dead-letter'; readonly offset: number } & DeliveryName;

export type RenewLeases = {
  readonly kind: 'renew-leases';
  readonly leaseIds: readonly number[];
  /** From the entry's store timestamp on. */
  readonly invisibleMs: number;
  /** The client is gone: auto-renew ends with this. */
  readonly release: boolean;
  /** The client has the messages: the leader that granted the lease says so. */
  readonly known: boolean;
} & DeliveryName;

/** Below this many open messages no queue is at its limit, however low that is set. */
const TOUCH_OPEN_MIN = 32;

const NOTHING_GRANTED: DeliveryGrant = { leaseId: 0, offsets: [], attempts: [] };

export const deliverKind: CommandKind<Deliver> = {
  number: 6,
  write: (writer, command) => {
    writeName(writer, command);
    writeDeliver(writer, command);
  },
  read: (reader) => ({ kind: 'deliver', ...readName(reader), ...readDeliver(reader) }),
  apply: deliver,
  terms: ({ topic, queueId, runs }, sink, position) => {
    for (const run of runs) sink.queueRange(topic, queueId, run.fromOffset, run.count, position);
  },
};

export const ackKind: CommandKind<Ack> = {
  number: 7,
  write: (writer, command) => {
    writeName(writer, command);
    writer.varint(command.targets.length);
    for (const target of command.targets) {
      writer.varint(target.offset);
      writer.varint(target.leaseId);
    }
  },
  read: (reader) => {
    const name = readName(reader);
    const targets: LeasedOffset[] = [];
    for (let left = reader.count(2); left > 0; left--) {
      targets.push({ offset: reader.varint(), leaseId: reader.varint() });
    }
    return { kind: 'ack', ...name, targets };
  },
  apply: ({ tables }, command) => ack(tables, command),
  terms: ({ topic, queueId, targets }, sink, position) => {
    for (const { offset } of targets) sink.queueRange(topic, queueId, offset, 1, position);
  },
};

export const changeInvisibleKind: CommandKind<ChangeInvisible> = {
  number: 8,
  write: (writer, command) => {
    writeName(writer, command);
    writer.varint(command.leaseId);
    writer.varint(command.invisibleMs);
    writer.flag(command.suspend);
    writeNumbers(writer, command.offsets);
  },
  read: (reader) => {
    const name = readName(reader);
    const leaseId = reader.varint();
    const invisibleMs = reader.varint();
    const suspend = reader.flag();
    const offsets = readNumbers(reader);
    return { kind: 'change-invisible', ...name, leaseId, invisibleMs, suspend, offsets };
  },
  apply: changeInvisible,
  terms: ({ topic, queueId, offsets }, sink, position) => {
    for (const offset of offsets) sink.queueRange(topic, queueId, offset, 1, position);
  },
};

export const deadLetterKind: CommandKind<DeadLetter> = {
  number: 9,
  write: (writer, command) => {
    writeName(writer, command);
    writer.varint(command.offset);
  },
  read: (reader) => ({ kind: 'dead-letter', ...readName(reader), offset: reader.varint() }),
  apply: ({ tables }, command): readonly DeliveryOutcome[] => {
    const row = findDelivery(tables, command);
    if (row === undefined) return ['stale'];
    const outcome = row.state.complete(command.offset);
    tables.deliveryChanged(row);
    tables.touched(row);
    return [outcome];
  },
  terms: ({ topic, queueId, offset }, sink, position) =>
    sink.queueRange(topic, queueId, offset, 1, position),
};

export const renewLeasesKind: CommandKind<RenewLeases> = {
  number: 10,
  write: (writer, command) => {
    writeName(writer, command);
    writer.varint(command.invisibleMs);
    writer.byte((command.release ? 1 : 0) | (command.known ? 2 : 0));
    writeNumbers(writer, command.leaseIds);
  },
  read: (reader) => {
    const name = readName(reader);
    const invisibleMs = reader.varint();
    const flags = reader.byte();
    if (flags > 3) reader.fail(`has flags ${flags}`);
    const release = (flags & 1) !== 0;
    const known = (flags & 2) !== 0;
    const leaseIds = readNumbers(reader);
    return { kind: 'renew-leases', ...name, invisibleMs, release, known, leaseIds };
  },
  apply: ({ tables, nowMs }, command) => {
    const row = findDelivery(tables, command);
    if (row === undefined) return null;
    const { leaseIds, invisibleMs, release, known } = command;
    row.state.renew(leaseIds, nowMs + invisibleMs, release, known);
    tables.deliveryChanged(row);
    tables.touched(row);
    return null;
  },
};

function deliver(context: ApplyContext, command: Deliver): DeliveryGrant {
  const { tables, nowMs } = context;
  const group = tables.groups.get(command.group);
  const topic = tables.topics.get(command.topic);
  if (group === undefined || topic === undefined) return NOTHING_GRANTED;
  // The topic was deleted and made anew, or the group put somewhere else, since the command was planned.
  const before = tables.delivery(command.group, command.topic, command.queueId);
  if (deliveryEpoch(topic, before) !== command.epoch) return NOTHING_GRANTED;
  if (command.endOffset > tables.endOffset(topic, command.queueId)) return NOTHING_GRANTED;
  const row = before ?? tables.openDelivery(group, command.topic, command.queueId);
  const grant = row.state.deliver(command, tables.shared, nowMs, group.config.maxAttempts);
  tables.changed(tables.shared);
  tables.deliveryChanged(row);
  tables.touched(row);
  return grant;
}

function ack(tables: Tables, command: Ack): readonly DeliveryOutcome[] {
  const row = findDelivery(tables, command);
  if (row === undefined) return command.targets.map(() => 'stale');
  const { state } = row;
  const openBefore = state.openCount;
  const outcomes = command.targets.map((target) => state.ack(target.offset, target.leaseId));
  tables.deliveryChanged(row);
  // An ack unblocks an ordered queue, or makes room in one that may have reached its limit.
  if (state.kind === 'ordered' || openBefore >= TOUCH_OPEN_MIN) tables.touched(row);
  return outcomes;
}

function changeInvisible(context: ApplyContext, command: ChangeInvisible): ChangeInvisibleResult {
  const { tables, nowMs } = context;
  const row = findDelivery(tables, command);
  if (row === undefined) return { outcome: 'stale', leaseId: command.leaseId };
  const { offsets, leaseId, invisibleMs, suspend } = command;
  const visibleAtMs = nowMs + invisibleMs;
  const result = row.state.changeInvisible(offsets, leaseId, visibleAtMs, suspend, tables.shared);
  tables.changed(tables.shared);
  tables.deliveryChanged(row);
  tables.touched(row);
  return result;
}

function findDelivery(tables: Tables, name: DeliveryName): DeliveryRow | undefined {
  return tables.delivery(name.group, name.topic, name.queueId);
}

export function writeName(writer: BinaryWriter, name: DeliveryName): void {
  writer.text(name.group);
  writer.text(name.topic);
  writer.varint(name.queueId);
}

export function readName(reader: BinaryReader): DeliveryName {
  return { group: reader.text(), topic: reader.text(), queueId: reader.varint() };
}

function writeDeliver(writer: BinaryWriter, command: Deliver): void {
  writer.varint(command.epoch);
  writer.text(command.clientId);
  writer.byte((command.autoRenew ? 1 : 0) | (command.attemptId !== null ? 2 : 0));
  if (command.attemptId !== null) writer.text(command.attemptId);
  writer.varint(command.invisibleMs);
  writer.varint(command.endOffset);
  writer.varint(command.runs.length);
  for (const run of command.runs) {
    writer.varint(run.fromOffset);
    writer.varint(run.count * 2 + (run.dropped ? 1 : 0));
  }
}

function readDeliver(reader: BinaryReader): { readonly epoch: number } & DeliveryOrder {
  const epoch = reader.varint();
  const clientId = reader.text();
  const flags = reader.byte();
  if (flags > 3) reader.fail(`has flags ${flags}`);
  const attemptId = (flags & 2) !== 0 ? reader.text() : null;
  const invisibleMs = reader.varint();
  const endOffset = reader.varint();
  const runs: DeliveryRun[] = [];
  for (let left = reader.count(2); left > 0; left--) {
    const fromOffset = reader.varint();
    const countAndFlag = reader.varint();
    runs.push({ fromOffset, count: Math.floor(countAndFlag / 2), dropped: countAndFlag % 2 === 1 });
  }
  return {
    epoch,
    clientId,
    autoRenew: (flags & 1) !== 0,
    attemptId,
    invisibleMs,
    endOffset,
    runs,
  };
}

function writeNumbers(writer: BinaryWriter, values: readonly number[]): void {
  writer.varint(values.length);
  for (const value of values) writer.varint(value);
}

function readNumbers(reader: BinaryReader): number[] {
  const values: number[] = [];
  for (let left = reader.count(1); left > 0; left--) values.push(reader.varint());
  return values;
}
