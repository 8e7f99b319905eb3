import { type Prng } from '@raftmq/base';
import { type LoggedMessage } from '../../model/log-referee.js';
import { type LoggedHalf } from '../../model/transaction-ledger.js';
import { type Load, type LoadCounts, type Within } from '../load.js';
import { type Plant } from '../plants.js';
import { type World } from '../world.js';
import { Administrator } from './administrator.js';
import { BrokerHost, type BrokerApplication } from './broker-application.js';
import { type BrokerScenario, type SimGroup } from './broker-scenario.js';
import { BrokerWatch } from '../../model/broker-watch.js';
import { ClientNetwork, type BrokerNode } from './client-network.js';
import { type SimClient } from './clients.js';
import { Consumer } from './consumer.js';
import { checkQueues } from './final-checks.js';
import { Producer } from './producer.js';
import { producerStreams } from './producer-streams.js';
import { type Entry } from '@raftmq/raft';

/** Producers and consumers of a simulated broker group. */
export class BrokerLoad implements Load<BrokerApplication> {
  readonly watch: BrokerWatch;
  readonly #world: World;
  readonly #random: Prng;
  readonly #scenario: BrokerScenario;
  readonly #plant: Plant | null;
  readonly #network: ClientNetwork;
  readonly #hosts: BrokerHost[] = [];
  readonly #groups: ReadonlyMap<string, SimGroup>;
  #nodes: readonly BrokerNode[] = [];
  #administrator: Administrator | null = null;
  #producers: readonly Producer[] = [];
  #consumers: readonly Consumer[] = [];
  #lookedAtIndex = -1;
  #left: string | null = null;

  constructor(
    world: World,
    random: Prng,
    scenario: BrokerScenario,
    plant: Plant | null,
    acked: (node: BrokerNode, index: number) => void,
  ) {
    this.#world = world;
    this.#random = random;
    this.#scenario = scenario;
    this.#plant = plant;
    this.#groups = new Map(scenario.groups.map((group) => [group.config.name, group]));
    this.#network = new ClientNetwork(world, random.fork('clients'), {
      latencyMs: scenario.clientLatencyMs,
      timeoutMs: scenario.clientTimeoutMs,
      answerLoss: scenario.answerLoss,
    });
    this.watch = new BrokerWatch({
      violate: (invariant, message) => world.violate(invariant, message),
      wants: (group, message) => this.#wants(group, message),
      stored: (index) => {
        // Whoever has applied it has the entry that was committed, not one that it replaced.
        const holder = this.#nodes.find((node) => (node.application?.appliedIndex ?? 0) >= index);
        if (holder !== undefined && holder.log!.firstIndex <= index) acked(holder, index);
      },
    });
  }

  get counts(): LoadCounts {
    return { acked: this.watch.sends.ackedCount, reads: this.watch.receivedCount };
  }

  host(node: number): BrokerHost {
    const { setup } = this.#scenario;
    const random = this.#random.fork(`host ${node}`);
    const streams = producerStreams(
      this.#world,
      random.fork('streams'),
      this.#scenario.clientLatencyMs,
      () => this.#producers,
    );
    const host = new BrokerHost(setup, streams, random, this.#plant);
    this.#hosts[node] = host;
    return host;
  }

  keepFromIndex(): number {
    let index = Infinity;
    const { referee } = this.watch;
    for (const { config, topic } of this.#groups.values()) {
      for (const queueId of referee.deliveryQueues(topic)) {
        const message = referee.unconsumed(config.name, topic, queueId);
        if (message !== null) index = Math.min(index, message.index);
      }
    }
    return index;
  }

  digestAt(index: number): boolean {
    return index % this.#scenario.digestEvery === 0;
  }

  start(nodes: readonly BrokerNode[]): void {
    this.#nodes = nodes;
    const tools = {
      world: this.#world,
      random: this.#random,
      scenario: this.#scenario,
      network: this.#network,
      watch: this.watch,
      nodes,
    };
    this.#administrator = new Administrator('administrator', tools);
    const { producers, groups } = this.#scenario;
    this.#producers = Array.from({ length: producers }, (_, i) => new Producer(`p${i}`, tools));
    this.#consumers = groups.flatMap((group) =>
      Array.from(
        { length: group.consumers },
        (_, i) => new Consumer(`${group.config.name}-${i}`, tools, group),
      ),
    );
    for (const client of this.#clients()) client.start();
  }

  stop(): void {
    this.#network.heal();
    for (const producer of this.#producers) producer.finish();
    this.#administrator!.finish();
    for (const consumer of this.#consumers) consumer.finish();
  }

  nodeDied(node: BrokerNode): void {
    this.#network.nodeDied(node);
  }

  committed(entry: Entry, results: readonly unknown[]): void {
    this.watch.referee.entry(entry, results);
  }

  lostBehind(): void {
    this.#world.violate('acked-message-lost', 'a minority lost power, and a majority lost entries');
  }

  async finish(_leader: () => BrokerNode | null, within: Within): Promise<string | null> {
    const sent = (): boolean =>
      this.#administrator!.ready && this.#producers.every((producer) => producer.ended);
    await within(sent);
    if (!sent()) return 'a producer is not done, or a topic not there';
    const { referee } = this.watch;
    await within(() => referee.timers.waiting === 0);
    if (referee.timers.waiting > 0) return `${referee.timers.waiting} timers did not fire`;
    const { transactions } = referee;
    await within(() => transactions.open === 0);
    if (transactions.open > 0) return `${transactions.open} transactions were not decided`;
    this.#administrator!.stop();
    await within(() => this.#unconsumed() === null);
    const left = this.#unconsumed();
    if (left !== null) return `${left} was not consumed`;
    for (const consumer of this.#consumers) consumer.stop();
    const idle = (): boolean =>
      this.#administrator!.ended &&
      this.#consumers.every((consumer) => consumer.ended) &&
      this.#network.running().length === 0;
    await within(idle);
    if (!idle()) {
      this.#world.violate(
        'every-promise-settles',
        `no answer to ${this.#network.running().slice(0, 5).join(', ') || 'the consumers'}`,
      );
    }
    return null;
  }

  async verdict(): Promise<void> {
    for (const node of this.#nodes) await checkQueues(this.#world, node, this.watch.referee);
    this.#eachSendOnce();
    this.#deadLettersOnce();
  }

  beforeLastStart(node: BrokerNode): void {
    if (node.firstLogIndex === 1 && this.#random.chance(0.5)) this.#hosts[node.id]!.wipeState();
  }

  #clients(): readonly SimClient[] {
    return [this.#administrator!, ...this.#producers, ...this.#consumers];
  }

  #wants(group: string, message: LoggedMessage): boolean {
    const tags = this.#groups.get(group)?.tags ?? null;
    return tags === null || (message.tag !== null && tags.includes(message.tag));
  }

  /** Some message that a group has not consumed; null = there is none. Looks again when the log has grown. */
  #unconsumed(): string | null {
    const { referee } = this.watch;
    if (this.#lookedAtIndex === referee.lastIndex) return this.#left;
    this.#lookedAtIndex = referee.lastIndex;
    this.#left = null;
    for (const { config, topic } of this.#groups.values()) {
      for (const queueId of referee.deliveryQueues(topic)) {
        const message = referee.unconsumed(config.name, topic, queueId);
        if (message === null) continue;
        const where = `${topic}/${queueId}, offset ${message.queueOffset}`;
        this.#left = `${message.messageId} (${where}) by ${config.name}`;
      }
    }
    return this.#left;
  }

  #eachSendOnce(): void {
    const { sends, referee } = this.watch;
    for (const id of sends.messageIds) {
      const sent = sends.known(id)!;
      const halves = referee.transactions.of(sent.topic, id);
      const places = referee.places(id).filter((place) => place.topic === sent.topic);
      const placed = places.length;
      const kept = referee.timers.of(id).filter((timer) => timer.state !== 'fired').length;
      const copies = halves.length === 0 ? placed + kept : this.#visible(id, halves, placed);
      if (sent.acked && copies === 0)
        this.#world.violate('acked-message-lost', `${id} was acknowledged and is nowhere`);
      // It is stored once however often it is sent, as long as the log holds the first one: in the topic as it was then,
      // and in one that took its name.
      const keepsLog = this.#scenario.cluster.compactEveryMs === Infinity;
      const timers = referee.timers.of(id).map(({ topicEpoch }) => topicEpoch ?? 0);
      const topics = new Set([...timers, ...places.map(({ topicEpoch }) => topicEpoch)]).size;
      const once = keepsLog ? Math.max(1, topics) : Infinity;
      if (copies > Math.min(once, sent.attempts - sent.refused)) {
        this.#world.violate(
          'single-entry',
          `${id} lies in ${copies} places after ${sent.attempts} attempts, ${sent.refused} of them refused`,
        );
      }
    }
  }

  /** @returns how often a transactional message was stored; it is visible once when it was committed, else never */
  #visible(id: string, halves: readonly LoggedHalf[], placed: number): number {
    const commits = halves.filter((half) => half.state === 'committed').length;
    if (placed === commits && halves.length === 1) return 1;
    this.#world.violate(
      'transaction-visible',
      `${id} was ${halves.map((half) => half.state).join(', ')}, and lies in ${placed} places`,
    );
  }

  /** One dead letter per message and group, at most. */
  #deadLettersOnce(): void {
    const { sends, referee } = this.watch;
    for (const { config, topic } of this.#groups.values()) {
      // Who is put back may bury a message once more.
      if (this.watch.resetGroups.has(config.name)) continue;
      const letters = referee.topics.get(`%DLQ%${config.name}`)?.queues[0] ?? [];
      const counts = new Map<string, number>();
      for (const { messageId } of letters) counts.set(messageId, (counts.get(messageId) ?? 0) + 1);
      for (const [id, count] of counts) {
        const copies = referee.places(id).filter((place) => place.topic === topic).length;
        if (count > copies)
          this.#world.violate(
            'dead-letter-once',
            `${id} (acked: ${String(sends.known(id)?.acked)}) lies ${count} times in the dead-letter queue of ${config.name}, and ${copies} times in ${topic}`,
          );
      }
    }
  }
}
