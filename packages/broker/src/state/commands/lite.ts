import { MqError } from '@raftmq/base';
import { newDelivery } from '../../pop/rows.js';
import { type TopicRow } from '../tables.js';
import { type ApplyContext, type CommandKind } from './command-kind.js';

/** A group that is new to the lite topic begins at its first message. */
export const LITE_START_BEGINNING = 0;
/** It begins behind the newest message. */
export const LITE_START_END = 1;
/** Added to an offset in the parent's queue to begin at. */
export const LITE_START_OFFSET = 2;

/** Changes which lite topics a client takes messages from. */
export interface LiteSubscribe {
  readonly kind: 'lite-subscribe';
  readonly topic: string;
  readonly group: string;
  readonly clientId: string;
  readonly change: 'add' | 'remove' | 'replace';
  readonly names: readonly string[];
  /** One of the constants above per name, or none at all. */
  readonly starts: readonly number[];
  /** Lite topics that one client may have. */
  readonly subscriptionsMax: number;
  /** Lite topics that the parent may have. */
  readonly liteTopicsMax: number;
}

/** Forgets clients that are gone. */
export interface LiteForget {
  readonly kind: 'lite-forget';
  readonly topic: string;
  readonly clients: readonly { readonly group: string; readonly clientId: string }[];
}

/** Forgets lite topics that got no message for long, unless somebody subscribes to them. */
export interface LiteExpire {
  readonly kind: 'lite-expire';
  readonly topic: string;
  readonly ids: readonly number[];
  /** Only those whose newest message is older. */
  readonly beforeMs: number;
}

const changes = ['add', 'remove', 'replace'] as const;

export const liteSubscribeKind: CommandKind<LiteSubscribe> = {
  number: 60,
  write: (writer, command) => {
    writer.text(command.topic);
    writer.text(command.group);
    writer.text(command.clientId);
    writer.byte(changes.indexOf(command.change));
    writer.varint(command.subscriptionsMax);
    writer.varint(command.liteTopicsMax);
    writer.varint(command.names.length);
    for (const name of command.names) writer.text(name);
    writer.varint(command.starts.length);
    for (const start of command.starts) writer.varint(start);
  },
  read: (reader) => {
    const topic = reader.text();
    const group = reader.text();
    const clientId = reader.text();
    const change = changes[reader.byte()] ?? reader.fail('has an unknown change');
    const subscriptionsMax = reader.varint();
    const liteTopicsMax = reader.varint();
    const names: string[] = [];
    for (let left = reader.count(1); left > 0; left--) names.push(reader.text());
    const starts: number[] = [];
    for (let left = reader.count(1); left > 0; left--) starts.push(reader.varint());
    return {
      kind: 'lite-subscribe',
      topic,
      group,
      clientId,
      change,
      names,
      starts,
      subscriptionsMax,
      liteTopicsMax,
    };
  },
  apply: subscribe,
};

export const liteForgetKind: CommandKind<LiteForget> = {
  number: 61,
  write: (writer, command) => {
    writer.text(command.topic);
    writer.varint(command.clients.length);
    for (const { group, clientId } of command.clients) {
      writer.text(group);
      writer.text(clientId);
    }
  },
  read: (reader) => {
    const topic = reader.text();
    const clients: { group: string; clientId: string }[] = [];
    for (let left = reader.count(2); left > 0; left--) {
      clients.push({ group: reader.text(), clientId: reader.text() });
    }
    return { kind: 'lite-forget', topic, clients };
  },
  apply: ({ tables }, command) => {
    for (const { group, clientId } of command.clients) {
      tables.lite.dropClient(command.topic, group, clientId);
    }
    return null;
  },
};

export const liteExpireKind: CommandKind<LiteExpire> = {
  number: 62,
  write: (writer, command) => {
    writer.text(command.topic);
    writer.varint(command.beforeMs);
    writer.varint(command.ids.length);
    for (const id of command.ids) writer.varint(id);
  },
  read: (reader) => {
    const topic = reader.text();
    const beforeMs = reader.varint();
    const ids: number[] = [];
    for (let left = reader.count(1); left > 0; left--) ids.push(reader.varint());
    return { kind: 'lite-expire', topic, ids, beforeMs };
  },
  apply: ({ tables }, { topic, ids, beforeMs }) => {
    let dropped = 0;
    for (const id of ids) {
      const lite = tables.lite.byId(topic, id);
      if (lite === undefined || lite.lastMs >= beforeMs || tables.lite.subscribed(topic, id)) {
        continue;
      }
      tables.dropDeliveries(topic, id);
      tables.lite.dropTopic(lite);
      dropped++;
    }
    return dropped;
  },
};

function subscribe(context: ApplyContext, command: LiteSubscribe): MqError | null {
  const { tables } = context;
  const topic = tables.topics.get(command.topic);
  if (topic?.config.type !== 'LITE' || !tables.groups.has(command.group)) {
    return new MqError('TOPIC_NOT_FOUND', `topic ${command.topic} of type LITE does not exist`);
  }
  const wanted = wantedNames(context, command);
  if (wanted.size > command.subscriptionsMax) {
    return new MqError(
      'LITE_SUBSCRIPTION_QUOTA_EXCEEDED',
      `the client would subscribe to ${wanted.size} lite topics of ${command.topic}; the limit is ${command.subscriptionsMax} (setting liteSubscriptionsMax)`,
    );
  }
  let missing = 0;
  for (const name of wanted) {
    if (tables.lite.byName(command.topic, name) === undefined) missing++;
  }
  if (tables.lite.count(command.topic) + missing > command.liteTopicsMax) {
    return new MqError(
      'LITE_TOPIC_QUOTA_EXCEEDED',
      `topic ${command.topic} has ${tables.lite.count(command.topic)} lite topics; the limit is ${command.liteTopicsMax} (setting liteTopicsMax)`,
    );
  }
  const ids = new Set<number>();
  for (const name of wanted) {
    ids.add(tables.lite.open(command.topic, topic.config.queues, name, context.nowMs).id);
  }
  if (command.change !== 'remove') setStarts(context, command, topic);
  tables.touched(tables.lite.subscribe(command.topic, command.group, command.clientId, ids));
  return null;
}

function wantedNames(context: ApplyContext, command: LiteSubscribe): Set<string> {
  const { lite } = context.tables;
  if (command.change === 'replace') return new Set(command.names);
  const wanted = new Set<string>();
  for (const id of lite.client(command.topic, command.group, command.clientId)?.ids ?? []) {
    wanted.add(lite.byId(command.topic, id)!.name);
  }
  for (const name of command.names) {
    if (command.change === 'add') wanted.add(name);
    else wanted.delete(name);
  }
  return wanted;
}

/** A group that has never been at a lite topic begins where the client asks for. */
function setStarts(context: ApplyContext, command: LiteSubscribe, topic: TopicRow): void {
  const { tables } = context;
  const group = tables.groups.get(command.group)!;
  for (let i = 0; i < command.starts.length && i < command.names.length; i++) {
    const start = command.starts[i]!;
    if (start === LITE_START_BEGINNING) continue;
    const lite = tables.lite.byName(command.topic, command.names[i]!)!;
    if (tables.delivery(command.group, command.topic, lite.id) !== undefined) continue;
    const end = lite.endOffset;
    const offset = start === LITE_START_END ? end : Math.min(start - LITE_START_OFFSET, end);
    const row = tables.openDelivery(group, topic.config.name, lite.id);
    row.state = newDelivery(group.config.fifo, offset);
    tables.deliveryChanged(row);
  }
}
