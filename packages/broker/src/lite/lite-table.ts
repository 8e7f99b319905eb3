import { fifoQueueIndex } from '@raftmq/protocol';
import { LITE_QUEUE_ID_MIN } from './lite-queue-ids.js';
import { LiteClientRow, LiteParentRow, LiteTopicRow } from './lite-rows.js';

/** How many there are. */
export interface LiteStats {
  readonly topics: number;
  readonly clients: number;
}

/** What the tables offer to one of their parts. */
export interface RowKeeper {
  changed(row: { readonly key: string; changed: boolean; encode(): Buffer }): void;
  dropped(row: { readonly key: string }): void;
}

/** Everything below one topic of type LITE. */
interface LiteParent {
  readonly row: LiteParentRow;
  readonly byName: Map<string, LiteTopicRow>;
  readonly byId: Map<number, LiteTopicRow>;
  /** Clients by group and client id. */
  readonly clients: Map<string, LiteClientRow>;
}

/** The replicated tables of lite topics and of who subscribes to them. Changes only while an entry is applied. */
export class LiteTable {
  readonly #keeper: RowKeeper;
  readonly #parents = new Map<string, LiteParent>();

  constructor(keeper: RowKeeper) {
    this.#keeper = keeper;
  }

  /** For metrics. */
  stats(): LiteStats {
    let topics = 0;
    let clients = 0;
    for (const parent of this.#parents.values()) {
      topics += parent.byId.size;
      clients += parent.clients.size;
    }
    return { topics, clients };
  }

  /** Lite topics of a topic. */
  count(topic: string): number {
    return this.#parents.get(topic)?.byName.size ?? 0;
  }

  byName(topic: string, name: string): LiteTopicRow | undefined {
    return this.#parents.get(topic)?.byName.get(name);
  }

  byId(topic: string, id: number): LiteTopicRow | undefined {
    return this.#parents.get(topic)?.byId.get(id);
  }

  client(topic: string, group: string, clientId: string): LiteClientRow | undefined {
    return this.#parents.get(topic)?.clients.get(`${group}/${clientId}`);
  }

  *clients(): Iterable<LiteClientRow> {
    for (const parent of this.#parents.values()) yield* parent.clients.values();
  }

  *topics(): Iterable<LiteTopicRow> {
    for (const parent of this.#parents.values()) yield* parent.byId.values();
  }

  subscribed(topic: string, id: number): boolean {
    return (this.byId(topic, id)?.subscribers.length ?? 0) > 0;
  }

  /** The lite topic, made when there is none. */
  open(topic: string, queues: number, name: string, nowMs: number): LiteTopicRow {
    const parent = this.#open(topic);
    const known = parent.byName.get(name);
    if (known !== undefined) return known;
    const id = parent.row.nextId++;
    this.#keeper.changed(parent.row);
    const row = new LiteTopicRow(topic, id, fifoQueueIndex(name, queues), name, nowMs);
    parent.byName.set(name, row);
    parent.byId.set(id, row);
    this.#keeper.changed(row);
    return row;
  }

  /** A message of a lite topic was stored. */
  append(lite: LiteTopicRow, offset: number, nowMs: number): void {
    lite.append(offset, nowMs);
    this.#keeper.changed(lite);
    const { subscribers } = lite;
    for (let i = 0; i < subscribers.length; i++) subscribers[i]!.ready.add(lite.id);
  }

  /** Sets what a client takes messages from. */
  subscribe(
    topic: string,
    group: string,
    clientId: string,
    ids: ReadonlySet<number>,
  ): LiteClientRow {
    const parent = this.#open(topic);
    const key = `${group}/${clientId}`;
    let client = parent.clients.get(key);
    if (client === undefined) {
      client = new LiteClientRow(topic, group, clientId);
      parent.clients.set(key, client);
    }
    for (const id of client.ids) if (!ids.has(id)) leave(parent, client, id);
    for (const id of ids) if (!client.ids.has(id)) join(parent, client, id);
    this.#keeper.changed(client);
    return client;
  }

  /** The client is gone. */
  dropClient(topic: string, group: string, clientId: string): void {
    const parent = this.#parents.get(topic);
    const client = parent?.clients.get(`${group}/${clientId}`);
    if (parent === undefined || client === undefined) return;
    for (const id of [...client.ids]) leave(parent, client, id);
    parent.clients.delete(`${group}/${clientId}`);
    this.#keeper.dropped(client);
  }

  /** The lite topic is forgotten; nobody subscribes to it. */
  dropTopic(lite: LiteTopicRow): void {
    const parent = this.#parents.get(lite.topic);
    parent?.byName.delete(lite.name);
    parent?.byId.delete(lite.id);
    this.#keeper.dropped(lite);
  }

  /** The parent topic is deleted, and everything below it. */
  dropParent(topic: string): void {
    const parent = this.#parents.get(topic);
    if (parent === undefined) return;
    this.#parents.delete(topic);
    this.#keeper.dropped(parent.row);
    for (const lite of parent.byId.values()) this.#keeper.dropped(lite);
    for (const client of parent.clients.values()) this.#keeper.dropped(client);
  }

  /** A consumer group is deleted, with its subscriptions. */
  dropGroup(group: string): void {
    for (const [topic, parent] of this.#parents) {
      for (const client of [...parent.clients.values()]) {
        if (client.group === group) this.dropClient(topic, group, client.clientId);
      }
    }
  }

  *rows(): Iterable<{ readonly key: string; encode(): Buffer }> {
    for (const parent of this.#parents.values()) {
      yield parent.row;
      yield* parent.byId.values();
      yield* parent.clients.values();
    }
  }

  /** Takes a saved row; false when it is of another table. Clients come after the lite topics they name. */
  load(key: string, row: Buffer): boolean {
    if (key.startsWith('lite-parent/')) {
      const saved = LiteParentRow.decode(key, row);
      this.#open(saved.topic).row.nextId = saved.nextId;
    } else if (key.startsWith('lite-topic/')) {
      const lite = LiteTopicRow.decode(key, row);
      const parent = this.#open(lite.topic);
      parent.byName.set(lite.name, lite);
      parent.byId.set(lite.id, lite);
    } else if (key.startsWith('lite-client/')) {
      const client = LiteClientRow.decode(key, row);
      const parent = this.#open(client.topic);
      parent.clients.set(`${client.group}/${client.clientId}`, client);
      for (const id of client.ids) {
        addSubscriber(parent, client, id);
      }
    } else return false;
    return true;
  }

  #open(topic: string): LiteParent {
    let parent = this.#parents.get(topic);
    if (parent === undefined) {
      parent = {
        row: new LiteParentRow(topic, LITE_QUEUE_ID_MIN),
        byName: new Map(),
        byId: new Map(),
        clients: new Map(),
      };
      this.#parents.set(topic, parent);
    }
    return parent;
  }
}

function leave(parent: LiteParent, client: LiteClientRow, id: number): void {
  client.ids.delete(id);
  client.ready.delete(id);
  const lite = parent.byId.get(id);
  if (lite === undefined) return;
  const others = lite.subscribers.filter((subscriber) => subscriber !== client);
  lite.subscribers = others.length === 1 ? others[0]!.alone : others;
}

function join(parent: LiteParent, client: LiteClientRow, id: number): void {
  client.ids.add(id);
  addSubscriber(parent, client, id);
}

function addSubscriber(parent: LiteParent, client: LiteClientRow, id: number): void {
  const lite = parent.byId.get(id);
  if (lite === undefined) return;
  lite.subscribers = lite.subscribers.length === 0 ? client.alone : [...lite.subscribers, client];
  // Without a message there is nothing to look for until one arrives.
  if (lite.messages > 0) client.ready.add(id);
}
