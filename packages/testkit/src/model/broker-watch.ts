import { type MqError } from '@raftmq/base';
import { type DeliveredMessage, type DeliveryName, type SendResult } from '@raftmq/broker/internal';
import { storedMessageId, storedQueueId, storedQueueOffset, storedTopic } from '@raftmq/protocol';
import { LogReferee, type LoggedMessage } from './log-referee.js';
import { queueKey, SendHistory } from './send-history.js';

/** A delivery as its consumer got it. */
export interface SeenDelivery {
  readonly messageId: string;
  readonly topic: string;
  readonly topicEpoch: number;
  /** As deliveries know it: that of its lite topic on a topic of type LITE. */
  readonly queueId: number;
  readonly queueOffset: number;
  readonly attempt: number;
  readonly receiptHandle: string;
  /** Tells it from deliveries after the group was put somewhere else. */
  readonly epoch: number;
}

export interface WatchOptions {
  readonly violate: (invariant: string, message: string) => never;
  readonly wants: (group: string, message: LoggedMessage) => boolean;
  /** See {@link RefereeOptions.lapsed}. */
  readonly lapsed?: (group: string, message: LoggedMessage) => void;
  /** An answer that says "stored for good" leaves now: the entry must be safe. */
  readonly stored: (index: number) => void;
}

/** What is known when a call for a group's offset begins. */
export interface OffsetAsked {
  readonly topicEpoch: number;
  /** What was answered last: this call must not be told less. */
  readonly before: OffsetKnown | null;
}

/** Where a group was told to stand; with each reset another epoch begins. */
export interface OffsetKnown {
  /** Tells its topic from a later one of the name. */
  readonly topicEpoch: number;
  readonly epoch: number;
  readonly offset: number;
}

/** Compares what the messaging service answers, the moment it answers, with what the committed log says. */
export class BrokerWatch {
  readonly referee: LogReferee;
  readonly sends = new SendHistory();
  readonly #options: WatchOptions;
  /** Groups whose offsets were moved by hand. */
  readonly resetGroups = new Set<string>();
  /** By group, topic and queue. */
  readonly #offsetsRead = new Map<string, OffsetKnown>();
  receivedCount = 0;
  ackedCount = 0;
  redeliveredCount = 0;
  buriedCount = 0;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.referee = new LogReferee(options);
  }

  /** A send call is answered. `before` = what was acknowledged when it was made. */
  sent(
    topic: string,
    messageIds: readonly string[],
    result: SendResult,
    before: ReadonlyMap<string, number>,
  ): void {
    const { queueId, firstQueueOffset, repeats } = result;
    if (repeats !== undefined) return this.#sentAgain(topic, messageIds, repeats.offsets);
    const [first] = messageIds.map((id, i) => {
      const offset = firstQueueOffset + i;
      const logged = this.referee.placeOf(id, topic, queueId, offset);
      if (logged === null) {
        this.#violate(
          'ack-in-log',
          `the sender of ${id} is told offset ${offset} of ${topic}/${queueId}, where the log has ${this.referee.message(topic, queueId, offset)?.messageId ?? 'nothing'}`,
        );
      }
      this.#options.stored(logged.index);
      return logged;
    });
    const acked = before.get(queueKey(first!)) ?? -1;
    if (this.sends.known(messageIds[0]!)!.attempts === 1 && firstQueueOffset <= acked) {
      this.#violate(
        'offset-continuity',
        `${messageIds[0]} got offset ${firstQueueOffset} of ${topic}/${queueId}, but ${acked} was acknowledged before it was sent`,
      );
    }
    this.sends.acked(first!, messageIds);
  }

  /** A send call is answered, of which some messages were stored before: each one may be in any queue. */
  #sentAgain(topic: string, messageIds: readonly string[], offsets: readonly number[]): void {
    messageIds.forEach((id, i) => {
      const logged = this.referee.placeOf(id, topic, null, offsets[i]!);
      if (logged === null) {
        this.#violate(
          'ack-in-log',
          `the sender of ${id} is told that it lies at offset ${offsets[i]} of ${topic} already; it does not`,
        );
      }
      this.#options.stored(logged.index);
    });
    this.sends.ackedTimed(messageIds);
  }

  /** A send call of messages with delivery times is answered. */
  sentTimed(topic: string, messageIds: readonly string[]): void {
    for (const id of messageIds) {
      const waits = this.referee.timers.of(id).length > 0;
      if (!waits && this.referee.places(id).length === 0)
        this.#violate('ack-in-log', `the sender of ${id} is told that it is stored; it is nowhere`);
    }
    this.sends.ackedTimed(messageIds);
  }

  /** A recall is answered: the message is never delivered. */
  recalled(messageId: string): void {
    const timers = this.referee.timers.of(messageId);
    if (timers.some((timer) => timer.state === 'recalled')) return;
    this.#violate(
      'recall',
      `${messageId} counts as recalled, but its timers are ${timers.map((timer) => timer.state).join(', ') || 'none'}`,
    );
  }

  /** A send call of half messages is answered. */
  sentHalves(topic: string, messageIds: readonly string[]): void {
    for (const id of messageIds) {
      if (this.referee.transactions.of(topic, id).length === 0)
        this.#violate('ack-in-log', `the sender of ${id} is told that it is stored; it is nowhere`);
    }
    this.sends.ackedTimed(messageIds);
  }

  /** A decision is answered: it stands. */
  decided(topic: string, messageId: string, commit: boolean): void {
    const expected = commit ? 'committed' : 'rolled-back';
    const states = this.referee.transactions.of(topic, messageId).map((half) => half.state);
    if (states.at(-1) === expected) return;
    this.#violate(
      'one-decision',
      `transaction ${messageId} counts as ${expected}, and is ${states.join(', ') || 'unknown'}`,
    );
  }

  /** The group's committed offset in a queue is answered: it never goes back, unless the group was put back. */
  offsetRead(name: DeliveryName, offset: number | null, asked = this.offsetAsked(name)): void {
    const { group, topic, queueId } = name;
    const topicEpoch = this.referee.topics.get(topic)?.epoch ?? 0;
    // The topic was deleted between the answer and its arrival here.
    if (topicEpoch !== asked.topicEpoch) return;
    const { before } = asked;
    const where = `${group}/${topic}/${queueId}`;
    const end = this.referee.topics.get(topic)?.queues[queueId]?.length ?? 0;
    const epoch = this.referee.delivery(group, topic, queueId)?.epoch ?? 0;
    const same = before?.topicEpoch === topicEpoch && before.epoch === epoch;
    if (same && before.offset > (offset ?? 0))
      this.#violate(
        'offset-no-regress',
        `${where} was at ${before.offset}, and is at ${offset ?? 'nothing'} now`,
      );
    if (offset !== null && offset > end)
      this.#violate('offset-no-regress', `${where} is at ${offset}, and the queue ends at ${end}`);
    const known = this.#offsetsRead.get(where);
    const still = known?.topicEpoch === topicEpoch && known.epoch === epoch;
    const highest = Math.max(still ? known.offset : 0, offset ?? 0);
    this.#offsetsRead.set(where, { topicEpoch, epoch, offset: highest });
  }

  /** A call for the group's offset begins. */
  offsetAsked({ group, topic, queueId }: DeliveryName): OffsetAsked {
    const topicEpoch = this.referee.topics.get(topic)?.epoch ?? 0;
    return { topicEpoch, before: this.#offsetsRead.get(`${group}/${topic}/${queueId}`) ?? null };
  }

  /** Messages are read without a lease: those of the log, ascending, all that the filter lets through. */
  pulled(
    name: DeliveryName,
    fromOffset: number,
    records: readonly Buffer[],
    nextOffset: number,
  ): void {
    const { group, topic, queueId } = name;
    const offsets = new Map(
      records.map((record) => [storedQueueOffset(record), storedMessageId(record)]),
    );
    for (const [offset, id] of offsets) {
      const logged = this.referee.placeOf(id ?? '', topic, queueId, offset);
      if (logged === null)
        this.#violate(
          'no-uncommitted-read',
          `a pull of ${topic}/${queueId} has ${id} at ${offset}`,
        );
      // The topic was deleted while the messages were read.
      if (logged.topicEpoch !== this.referee.topics.get(topic)?.epoch) return;
    }
    const queue = this.referee.topics.get(topic)?.queues[queueId] ?? [];
    if (records.length > 0 && nextOffset > queue.length)
      this.#violate('no-uncommitted-read', `a pull of ${topic}/${queueId} ends at ${nextOffset}`);
    for (const logged of queue.slice(fromOffset, nextOffset)) {
      const wanted = this.#options.wants(group, logged) ? logged.messageId : undefined;
      const got = offsets.get(logged.queueOffset);
      if (got !== wanted && records.length > 0)
        this.#violate(
          'no-uncommitted-read',
          `a pull of ${topic}/${queueId} by ${group} has ${got ?? 'nothing'} at ${logged.queueOffset}, not ${wanted ?? 'nothing'}`,
        );
    }
  }

  /** A message is handed to a consumer. */
  received(group: string, message: DeliveredMessage): SeenDelivery {
    const { record, deliveryAttempt, receiptHandle } = message;
    const messageId = storedMessageId(record) ?? '';
    const topic = storedTopic(record);
    const queueOffset = storedQueueOffset(record);
    const storedIn = storedQueueId(record);
    const logged = this.referee.placeOf(messageId, topic, storedIn, queueOffset);
    if (logged === null) {
      this.#violate(
        'no-uncommitted-read',
        `${group} is given ${messageId} as offset ${queueOffset} of ${topic}/${storedIn}, where the log has ${this.referee.message(topic, storedIn, queueOffset)?.messageId ?? 'nothing'}`,
      );
    }
    if (!this.#options.wants(group, logged))
      this.#violate('filter', `${group} is given ${messageId}, which its filter refuses`);
    const queueId = this.referee.deliveryQueueOf(logged);
    if (!this.referee.handedOut(group, logged, deliveryAttempt)) {
      this.#violate(
        'one-live-receipt',
        `${group} is given ${messageId} (delivery ${deliveryAttempt}) without a lease of its own in the log`,
      );
    }
    this.receivedCount++;
    if (deliveryAttempt > 1) this.redeliveredCount++;
    const epoch = this.referee.delivery(group, topic, queueId)?.epoch ?? 0;
    const attempt = deliveryAttempt;
    const { topicEpoch } = logged;
    return { messageId, topic, topicEpoch, queueId, queueOffset, attempt, receiptHandle, epoch };
  }

  /** An ack call is answered; null = success. */
  acked(
    group: string,
    deliveries: readonly SeenDelivery[],
    answers: readonly (MqError | null)[],
  ): void {
    deliveries.forEach((delivery, i) => {
      if (answers[i] !== null) return;
      this.ackedCount++;
      this.#consumed(group, delivery);
    });
  }

  /** A move to the dead-letter queue is answered. */
  buried(group: string, delivery: SeenDelivery): void {
    this.buriedCount++;
    this.#consumed(group, delivery);
  }

  /** In an ordered group a message in the middle of a batch is consumed only once all before it are. */
  #consumed(group: string, delivery: SeenDelivery): void {
    const { topic, queueId, queueOffset, messageId } = delivery;
    const model = this.referee.delivery(group, topic, queueId);
    if (model !== null && model.epoch > delivery.epoch) return;
    // It went with its topic.
    if (this.referee.topics.get(topic)?.epoch !== delivery.topicEpoch) return;
    if (this.referee.groups.get(group)?.fifo === true) return;
    if (model?.isConsumed(queueOffset) === true) return;
    this.#violate(
      'acked-stays-acked',
      `${group} is told that ${messageId} is consumed, but the log says it is not`,
    );
  }

  #violate(invariant: string, message: string): never {
    return this.#options.violate(invariant, message);
  }
}
