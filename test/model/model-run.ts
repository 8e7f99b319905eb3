import { strict as assert } from 'node:assert';
import { createPrng, isMqError, type Prng } from '@raftmq/base';
import {
  type DeliveredMessage,
  type PublishMessage,
  type ReceiveRequest,
} from '@raftmq/broker/internal';
import { ManualClock, settle, SingleNode } from '@raftmq/broker/testing';
import { transactionSource, type RetryPolicy } from '@raftmq/protocol';
import { BrokerWatch } from '@raftmq/testkit';
import { LiteClients } from './lite-clients.js';
import { GROUPS, placeOf, TOPICS, type Handle, type ModelGroup } from './model-groups.js';
import { OffsetOperations } from './offset-operations.js';
import { Replica, type ReplicaSurroundings } from './replica.js';

/** Timers and polls fire up to this late. */
const LATE_MS = 50;
/** Of 2 s: what a silent client holds is free after three minutes, and everything else sooner. */
const DRAIN_ROUNDS = 120;

/**
 * Random operations on the messaging service of one node, one after the other, each compared with what a naive model of
 * the contract expects; the log of it all is read by the referee. Now and then another replica takes the lead, a process
 * restarts from its checkpoint, and proposals get no answer.
 */
export class ModelRun implements ReplicaSurroundings {
  readonly clock = new ManualClock();
  readonly node = new SingleNode(this.clock);
  readonly watch: BrokerWatch;
  readonly producers = {
    find: () => Promise.resolve([{ clientId: 'producer', nodeId: 0 }]),
    hand: () => Promise.resolve(true),
  };
  /** Operations by kind. */
  readonly counts = new Map<string, number>();
  readonly #prng: Prng;
  readonly #lite: LiteClients;
  readonly #offsets: OffsetOperations;
  readonly #handles: Handle[] = [];
  /** Handles that an ack must accept, by group and place: those of the last delivery. */
  readonly #valid = new Map<string, string[]>();
  /** By topic. */
  readonly #lastSent = new Map<string, readonly PublishMessage[]>();
  readonly #recallHandles: string[] = [];
  readonly #transactions: string[] = [];
  readonly #decided = new Map<string, boolean>();
  /** The first one leads. */
  #replicas: Replica[] = [];
  #term = 1;
  #messages = 0;
  #attempts = 0;

  constructor(seed: number) {
    this.#prng = createPrng(seed);
    this.watch = new BrokerWatch({
      violate: (invariant, message) => assert.fail(`${invariant}: ${message}`),
      wants: (group, message) => GROUPS.find(({ config }) => config.name === group)!.wants(message),
      lapsed: (group, { messageId }) =>
        assert.fail(`the lease of ${group} for ${messageId} ended, though its client lives`),
      stored: () => undefined,
    });
    const { clock, watch } = this;
    const tools = { prng: this.#prng, clock, watch, service: () => this.#service };
    this.#lite = new LiteClients(tools);
    this.#offsets = new OffsetOperations(tools);
  }

  async start(): Promise<void> {
    this.#replicas = [await Replica.open(this), await Replica.open(this)];
    this.#connect();
    await settle();
    for (const topic of TOPICS) await this.#service.putTopic(topic);
    for (const { config } of GROUPS) await this.#service.putGroup(config);
  }

  async step(): Promise<void> {
    const operations: readonly (readonly [
      weight: number,
      name: string,
      run: () => Promise<void>,
    ])[] = [
      [14, 'send', () => this.#send()],
      [24, 'receive', () => this.#receive()],
      [22, 'ack', () => this.#ack()],
      [6, 'change', () => this.#change()],
      [2, 'bury', () => this.#bury()],
      [12, 'wait', () => this.#wait()],
      [3, 'send timed', () => this.#sendTimed()],
      [2, 'recall', () => this.#recall()],
      [3, 'send half', () => this.#sendHalf()],
      [3, 'decide', () => this.#decide()],
      [2, 'offset', () => this.#offsets.offset()],
      [2, 'pull', () => this.#offsets.pull()],
      [1, 'query offset', () => this.#offsets.query()],
      [0.3, 'reset', () => this.#offsets.reset()],
      [3, 'subscribe', () => this.#lite.subscribe(this.#client())],
      [0.3, 'client gone', () => this.#clientGone()],
      [0.5, 'change group', () => this.#changeGroup()],
      [1, 'no answer', () => this.#noAnswer()],
      [1, 'checkpoint', () => this.#prng.pick(this.#replicas).save()],
      [0.4, 'failover', () => this.#failOver()],
      [0.4, 'restart', () => this.#restart()],
      [0.1, 'topic anew', () => this.#topicAnew()],
    ];
    const total = operations.reduce((sum, [weight]) => sum + weight, 0);
    let draw = this.#prng.next() * total;
    for (const [weight, name, run] of operations) {
      draw -= weight;
      if (draw >= 0) continue;
      this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
      return run();
    }
  }

  /** Replicas agree, and one that has nothing but the log agrees with them. */
  async compareReplicas(): Promise<void> {
    const [first, second] = this.#replicas;
    assert.equal(second!.state.digest(), first!.state.digest(), 'replicas differ');
    const anew = await Replica.open(this);
    assert.equal(anew.state.digest(), first!.state.digest(), 'the log gives another state');
    anew.state.setListener(null);
  }

  /** Everything that waits comes, and everything that came is consumed. */
  async drain(): Promise<void> {
    for (const id of this.#transactions) {
      const commit = this.#decided.get(id) ?? true;
      await this.#service.transactions
        .end('tx', id, commit, transactionSource.SERVER_CHECK)
        .catch(() => undefined);
    }
    const { referee } = this.watch;
    const consumers: (readonly [ModelGroup, string])[] = [];
    for (const group of GROUPS) {
      await this.#service.putGroup(group.config);
      const clients = group.topic === 'lite' ? await this.#lite.subscribeToAll(group) : ['drain'];
      for (const client of clients) consumers.push([group, client]);
    }
    for (let round = 0; round < DRAIN_ROUNDS && !this.#allConsumed(); round++) {
      await this.clock.advance(2_000);
      for (const [group, clientId] of consumers) {
        const got = await this.#take(group, { clientId, batchSize: 32, queueId: null });
        await this.#ackAll(group, got);
      }
    }
    assert.ok(this.#allConsumed(), 'everything is consumed in the end');
    assert.equal(referee.timers.waiting, 0);
    assert.equal(referee.transactions.open, 0);
    for (const [id, commit] of this.#decided) {
      const places = referee.places(id).filter(({ topic }) => topic === 'tx').length;
      assert.equal(places, commit ? 1 : 0, `${id} is visible ${places} times`);
    }
  }

  get #service(): Replica['service'] {
    return this.#replicas[0]!.service;
  }

  /** The first replica leads, and the referee reads what it applies. */
  #connect(): void {
    const [leader, ...others] = this.#replicas;
    this.node.machines.length = 0;
    this.node.machines.push(
      {
        apply: (entry, results) => {
          const own = results!;
          const from = own.length;
          leader!.state.apply(entry, own);
          this.watch.referee.entry(entry, own.slice(from));
        },
        applied: () => leader!.state.applied(),
      },
      ...others.map(({ state }) => state),
    );
    for (const other of others) other.follow(this.#term);
    leader!.lead(this.#term);
  }

  #message(place: Partial<PublishMessage> = {}): PublishMessage {
    return {
      messageId: `m${this.#messages++}`,
      body: Buffer.from('body'),
      tag: this.#prng.pick([null, 'a', 'b', 'c']),
      keys: [],
      userProperties: [
        ...this.#prng.pick([
          [],
          ['price', '4.99'],
          ['price', '5'],
          ['price', '2E1'],
          ['price', 'x'],
        ]),
        ...this.#prng.pick([[], ['color', 'red'], ['color', 'blue']]),
      ],
      messageGroup: null,
      traceContext: null,
      bornTimestampMs: 1,
      bornHost: 'host',
      gzip: false,
      ...place,
    };
  }

  #some(place: Partial<PublishMessage> = {}): PublishMessage[] {
    return Array.from({ length: this.#prng.integer(1, 3) }, () => this.#message(place));
  }

  #client(): string {
    return `client ${this.#prng.integer(0, 2)}`;
  }

  async #send(): Promise<void> {
    const topic = this.#prng.pick(['normal', 'fifo', 'urgent', 'lite']);
    const again = this.#lastSent.get(topic);
    const fresh = again === undefined || this.#prng.chance(0.9);
    const messages = fresh ? this.#some(this.#place(topic)) : again;
    const [first] = messages;
    const name = first!.liteTopic;
    const room = typeof name !== 'string' || this.#lite.hasRoom(name);
    this.#lastSent.set(topic, messages);
    const ids = messages.map((message) => message.messageId);
    const before = this.watch.sends.attempt(topic, ids);
    try {
      const result = await this.#service.send(this.#service.topic(topic)!, messages);
      assert.ok(room, 'a lite topic too many is refused');
      if (topic === 'urgent' && result.repeats === undefined)
        assert.equal(
          result.queueId,
          Math.min(first!.priority ?? 0, 2),
          'the queue is the priority',
        );
      this.watch.sent(topic, ids, result, before);
    } catch (error) {
      if (!isMqError(error)) throw error;
      assert.equal(error.code, 'LITE_TOPIC_QUOTA_EXCEEDED');
      assert.ok(!room, `there is room for ${name ?? ''}`);
      this.#lastSent.delete(topic);
      return this.watch.sends.refused(ids);
    }
    for (const id of ids)
      assert.equal(this.#copies(topic, id), 1, `${id} is stored once, however often it is sent`);
  }

  /** What sends a message to a queue, by the kind of its topic. */
  #place(topic: string): Partial<PublishMessage> {
    if (topic === 'fifo') return { messageGroup: `g${this.#prng.integer(0, 4)}` };
    if (topic === 'urgent') return { priority: this.#prng.integer(0, 3) };
    if (topic === 'lite') return { liteTopic: this.#lite.name() };
    return {};
  }

  /** How often a message lies in the topic as it is now. */
  #copies(topic: string, messageId: string): number {
    const epoch = this.watch.referee.topics.get(topic)?.epoch ?? 0;
    return this.watch.referee
      .places(messageId)
      .filter((place) => place.topic === topic && place.index >= epoch).length;
  }

  async #receive(): Promise<void> {
    const group = this.#prng.pick(GROUPS);
    const queues = TOPICS.find(({ name }) => name === group.topic)!.queues;
    const queueId = this.#prng.chance(0.3) ? this.#prng.integer(0, queues - 1) : null;
    const batchSize = this.#prng.integer(1, 8);
    const autoRenew = this.#prng.chance(0.2);
    await this.#take(group, { queueId, batchSize, clientId: this.#client(), autoRenew });
  }

  /** Receives, and knows before whether there is something. */
  async #take(
    group: ModelGroup,
    asked: Pick<ReceiveRequest, 'queueId' | 'batchSize' | 'clientId'> & Partial<ReceiveRequest>,
  ): Promise<readonly Handle[]> {
    const { name } = group.config;
    const queues = this.#queues(group, asked);
    const expected = queues.some((queueId) => this.#available(group, queueId));
    const letters = this.#deadLetters(name);
    const messages = await this.#service.receive({
      group: name,
      topic: group.topic,
      invisibleMs: asked.autoRenew === true ? 60_000 : this.#prng.integer(1_000, 20_000),
      autoRenew: false,
      pollingMs: 0,
      filter: group.filter,
      attemptId: `attempt ${this.#attempts++}`,
      signal: new AbortController().signal,
      ...asked,
    });
    assert.equal(messages.length > 0, expected, `${name} gets ${messages.length}`);
    assert.ok(messages.length <= asked.batchSize);
    const handles = messages.map((message) => this.#got(group, message));
    for (const { queueId } of handles) assert.ok(queues.includes(queueId), 'from its own queues');
    if (group.topic === 'urgent' && this.#deadLetters(name) === letters)
      this.#highestFirst(group, asked.queueId, handles);
    // A batch of an ordered queue takes the place of the one before, whatever is in it.
    if (group.config.fifo) for (const handle of handles) this.#forgetQueue(handle);
    for (const handle of handles) this.#valid.set(placeOf(handle), [handle.receiptHandle]);
    return handles;
  }

  /** Nothing goes out from a queue while there is something in a higher one. */
  #highestFirst(group: ModelGroup, queueId: number | null, handles: readonly Handle[]): void {
    const order = handles.map((handle) => handle.queueId);
    assert.deepEqual(
      order,
      order.toSorted((a, b) => b - a),
      'in the order of their priorities',
    );
    const lowest = order.at(-1);
    if (queueId !== null || lowest === undefined) return;
    for (let higher = lowest + 1; higher < 3; higher++)
      assert.ok(!this.#available(group, higher), `queue ${higher} goes before ${lowest}`);
  }

  #forgetQueue({ group, topic, queueId }: Handle): void {
    const prefix = `${group.config.name}/${topic}/${queueId}/`;
    for (const place of [...this.#valid.keys()])
      if (place.startsWith(prefix)) this.#valid.delete(place);
  }

  /** Where a receive call may take from. */
  #queues(
    group: ModelGroup,
    { queueId, clientId }: Pick<ReceiveRequest, 'queueId' | 'clientId'>,
  ): readonly number[] {
    if (group.topic === 'lite') return this.#lite.queuesOf(group, clientId);
    if (queueId !== null) return [queueId];
    const { queues } = TOPICS.find(({ name }) => name === group.topic)!;
    return Array.from({ length: queues }, (_, id) => id);
  }

  #available({ config: { name }, topic }: ModelGroup, queueId: number): boolean {
    const { referee } = this.watch;
    if (referee.groups.get(name)?.paused === true) return false;
    const model = referee.delivery(name, topic, queueId);
    if (model === null) return referee.unconsumed(name, topic, queueId) !== null;
    return model.available(this.clock.nowMs, referee.endOf(topic, queueId));
  }

  #deadLetters(group: string): number {
    return this.watch.referee.topics.get(`%DLQ%${group}`)?.queues[0]?.length ?? 0;
  }

  #got(group: ModelGroup, message: DeliveredMessage): Handle {
    const handle = { ...this.watch.received(group.config.name, message), group };
    this.#handles.push(handle);
    if (this.#handles.length > 500) this.#handles.shift();
    return handle;
  }

  async #ack(): Promise<void> {
    if (this.#handles.length === 0) return;
    const { group } = this.#prng.pick(this.#handles);
    const own = this.#handles.filter((handle) => handle.group === group);
    const recent = own.slice(this.#prng.chance(0.8) ? -8 : 0);
    const count = this.#prng.integer(1, 4);
    await this.#ackAll(
      group,
      Array.from({ length: count }, () => this.#prng.pick(recent)),
    );
  }

  async #ackAll(group: ModelGroup, handles: readonly Handle[]): Promise<void> {
    if (handles.length === 0) return;
    const { referee } = this.watch;
    const consumed = handles.map((handle) => this.#isConsumed(handle));
    const answers = await this.#service.ack(group.config.name, group.topic, handles);
    handles.forEach((handle, i) => {
      const known = referee.delivery(group.config.name, group.topic, handle.queueId);
      // A place that was given up, or an ordered batch that was repeated: the referee judges these.
      if (handle.epoch !== (known?.epoch ?? 0)) return;
      const valid = this.#valid.get(placeOf(handle));
      // Nobody knows which handle is the last one, or the same call acknowledges it twice.
      if (valid === undefined) return;
      if (handles.findIndex((other) => placeOf(other) === placeOf(handle)) < i) return;
      const last = valid.includes(handle.receiptHandle);
      const code = answers[i]?.code ?? null;
      if (consumed[i] === true || last) assert.equal(code, null, `ack of ${handle.messageId}`);
      else if (!group.config.fifo)
        assert.equal(code, 'INVALID_RECEIPT_HANDLE', `late ack of ${handle.messageId}`);
    });
    this.watch.acked(group.config.name, handles, answers);
  }

  #isConsumed({ group, topic, queueId, queueOffset }: Handle): boolean {
    const model = this.watch.referee.delivery(group.config.name, topic, queueId);
    return model?.isConsumed(queueOffset) === true;
  }

  async #change(): Promise<void> {
    const handle = this.#recent();
    if (handle === null) return;
    const { group } = handle;
    const { referee } = this.watch;
    // Who was put somewhere else since holds nothing any more.
    const epoch = referee.delivery(group.config.name, group.topic, handle.queueId)?.epoch;
    const known = this.#valid.get(placeOf(handle));
    const valid = epoch === handle.epoch && known?.includes(handle.receiptHandle) === true;
    const consumed = this.#isConsumed(handle);
    try {
      const receiptHandle = await this.#service.changeInvisible(
        group.config.name,
        group.topic,
        handle,
        this.#prng.integer(0, 10_000),
        this.#prng.chance(0.3),
      );
      if (consumed) return;
      this.#valid.get(placeOf(handle))?.push(receiptHandle);
      this.#handles.push({ ...handle, receiptHandle });
    } catch (error) {
      assert.equal(isMqError(error) && error.code, 'INVALID_RECEIPT_HANDLE');
      assert.ok(!valid || consumed, `${handle.messageId} is held by the handle`);
    }
  }

  async #bury(): Promise<void> {
    const handle = this.#recent();
    if (handle === null) return;
    const { name } = handle.group.config;
    const before = this.#deadLetters(name);
    const consumed = this.#isConsumed(handle);
    try {
      await this.#service.forwardToDeadLetterQueue(name, handle.group.topic, handle);
      if (consumed) assert.equal(this.#deadLetters(name), before, 'not buried, as it is consumed');
    } catch (error) {
      assert.equal(isMqError(error) && error.code, 'INVALID_RECEIPT_HANDLE');
      assert.equal(this.#deadLetters(name), before);
    }
  }

  #recent(): Handle | null {
    return this.#handles.length === 0 ? null : this.#prng.pick(this.#handles.slice(-20));
  }

  async #wait(): Promise<void> {
    await this.clock.advance(this.#prng.integer(0, 4_000));
    const { referee } = this.watch;
    for (const timer of referee.timers.timers.values()) {
      if (timer.state !== 'waiting') continue;
      assert.ok(timer.dueMs >= this.clock.nowMs - LATE_MS, `${timer.messageId} did not fire`);
    }
  }

  async #sendTimed(): Promise<void> {
    const messages = this.#some().map((message) => ({
      ...message,
      deliveryTimestampMs: this.clock.nowMs + this.#prng.integer(-1_000, 60_000),
    }));
    const ids = messages.map((message) => message.messageId);
    this.watch.sends.attempt('delay', ids);
    const sent = await this.#service.sendTimed(this.#service.topic('delay')!, messages);
    this.watch.sentTimed('delay', ids);
    sent.forEach(({ recallHandle }, i) => {
      const waits = messages[i]!.deliveryTimestampMs > this.clock.nowMs;
      // What was due a moment ago may still go out as a timer.
      if (waits) assert.notEqual(recallHandle, '', 'a message that waits can be recalled');
      if (recallHandle !== '') this.#recallHandles.push(recallHandle);
    });
  }

  async #recall(): Promise<void> {
    const handle = this.#recallHandles[this.#prng.integer(0, this.#recallHandles.length - 1)];
    if (handle === undefined) return;
    try {
      this.watch.recalled(await this.#service.recall('delay', handle));
    } catch (error) {
      assert.equal(isMqError(error) && error.code, 'RECALL_FAILED');
    }
  }

  async #sendHalf(): Promise<void> {
    const again = this.#transactions.at(-1);
    const repeat = again !== undefined && this.#prng.chance(0.2);
    const message = repeat ? { ...this.#message(), messageId: again } : this.#message();
    const halves = [{ ...message, transactionRecoveryMs: null }];
    const ids = [message.messageId];
    this.watch.sends.attempt('tx', ids);
    await this.#service.transactions.send(this.#service.topic('tx')!, halves, 'producer');
    this.watch.sentHalves('tx', ids);
    if (!repeat) this.#transactions.push(message.messageId);
  }

  async #decide(): Promise<void> {
    const id = this.#transactions[this.#prng.integer(0, this.#transactions.length - 1)];
    if (id === undefined) return;
    const commit = this.#prng.chance(0.6);
    const first = this.#decided.get(id);
    try {
      await this.#service.transactions.end('tx', id, commit, transactionSource.CLIENT);
      assert.ok(first === undefined || first === commit, `the first decision about ${id} stands`);
      this.#decided.set(id, commit);
      this.watch.decided('tx', id, commit);
    } catch (error) {
      assert.equal(isMqError(error) && error.code, 'INVALID_TRANSACTION_ID');
      assert.equal(first, !commit, `${id} was decided the other way`);
    }
  }

  /** What auto-renew holds for the client becomes visible soon, and its subscriptions to lite topics are over. */
  async #clientGone(): Promise<void> {
    this.#service.clientGone(this.#client(), this.#prng.pick([null, 'all', 'ordered', 'lite']));
    await settle();
  }

  async #changeGroup(): Promise<void> {
    const { config } = this.#prng.pick(GROUPS);
    await this.#service.putGroup({
      ...config,
      maxAttempts: this.#prng.pick([config.maxAttempts, config.maxAttempts + 2]),
      retryPolicy: this.#prng.pick<RetryPolicy>([
        { kind: 'list', waitsMs: [500] },
        { kind: 'exponential', initialMs: 100, maxMs: 5_000, multiplier: 2 },
      ]),
      consumeEnabled: this.#prng.chance(0.7),
    });
  }

  /** Calls whose proposals time out; what became of them is known later, or another leader's log wins. */
  async #noAnswer(): Promise<void> {
    this.node.hold = true;
    const calls = [this.#unanswered(), this.#unanswered(), this.#unanswered()];
    await settle();
    this.node.expire();
    await settle();
    const lost = this.#prng.chance(0.4);
    if (lost) {
      this.node.lose();
      await this.#failOver();
    }
    this.node.hold = false;
    this.node.commit();
    await Promise.all(calls);
    await settle();
  }

  /** A call of which the client learns nothing: no handle of it is known. */
  async #unanswered(): Promise<void> {
    const group = this.#prng.pick(GROUPS);
    const handle = this.#recent();
    const draw = this.#prng.next();
    const { name } = group.config;
    const calls = async (): Promise<unknown> => {
      if (draw < 0.3) {
        const messages = this.#some({ messageGroup: 'g1' });
        this.#lastSent.set('fifo', messages);
        const ids = messages.map((message) => message.messageId);
        this.watch.sends.attempt('fifo', ids);
        return this.#service.send(this.#service.topic('fifo')!, messages);
      }
      if (draw < 0.4) return this.#lite.subscribe(this.#client());
      if (draw < 0.6) {
        const messages = await this.#service.receive({
          group: name,
          topic: group.topic,
          queueId: null,
          batchSize: 4,
          invisibleMs: 5_000,
          autoRenew: false,
          clientId: this.#client(),
          pollingMs: 0,
          filter: group.filter,
          attemptId: null,
          signal: new AbortController().signal,
        });
        return messages.map((message) => this.#got(group, message));
      }
      if (handle === null) return null;
      if (draw < 0.8)
        return this.#service.forwardToDeadLetterQueue(
          handle.group.config.name,
          handle.group.topic,
          handle,
        );
      return this.#service.ack(handle.group.config.name, handle.group.topic, [handle]);
    };
    await calls().catch((error: unknown) => {
      assert.ok(isMqError(error), String(error));
    });
    // A lease that was written late gives its messages back: older handles of them are void.
    this.#valid.clear();
  }

  async #failOver(): Promise<void> {
    this.#term++;
    this.#replicas.reverse();
    this.#connect();
    await settle();
  }

  async #restart(): Promise<void> {
    const place = this.#prng.integer(0, this.#replicas.length - 1);
    this.#replicas[place] = await this.#replicas[place]!.restart(this);
    this.#term++;
    this.#connect();
    await settle();
  }

  async #topicAnew(): Promise<void> {
    const topic = TOPICS[this.#prng.integer(0, 3)]!;
    await this.#service.deleteTopic(topic.name);
    await this.#service.putTopic(topic);
    for (let i = this.#handles.length - 1; i >= 0; i--)
      if (this.#handles[i]!.topic === topic.name) this.#handles.splice(i, 1);
    this.#valid.clear();
  }

  #allConsumed(): boolean {
    const { referee } = this.watch;
    if (referee.timers.waiting > 0) return false;
    return GROUPS.every(({ config, topic }) =>
      referee
        .deliveryQueues(topic)
        .every((queueId) => referee.unconsumed(config.name, topic, queueId) === null),
    );
  }
}
