import { type Tables } from '../state/tables.js';

interface TopicOffsets {
  /** Next offset by queue id; a hole = not asked for yet. */
  readonly next: (number | undefined)[];
  /** Not there, or made anew, as far as this leader has sealed: queues begin at 0, whatever the tables still say. */
  readonly fresh: boolean;
  /** Not there, and not made anew so far: messages sealed now are dropped when they are applied. */
  readonly absent: boolean;
}

/**
 * The queue offsets that sealed messages get: on the leader, ahead of the applied tables by what is sealed and not yet
 * applied. It follows the log's order, deletions of topics included, so that apply finds exactly the offset it expects.
 */
export class NextOffsets {
  readonly #tables: Tables;
  readonly #topics = new Map<string, TopicOffsets>();

  constructor(tables: Tables) {
    this.#tables = tables;
  }

  /** A new term: everything committed is applied and nothing of ours is sealed, so the tables are right. */
  reset(): void {
    this.#topics.clear();
  }

  /** Takes `count` offsets of a queue for messages being sealed; returns the first. */
  take(topic: string, queueId: number, count: number): number {
    let offsets = this.#topics.get(topic);
    if (offsets === undefined) {
      const absent = !this.#tables.topics.has(topic);
      offsets = { next: [], fresh: absent, absent };
      this.#topics.set(topic, offsets);
    }
    const applied = (): number => this.#tables.topics.get(topic)?.queues[queueId]?.endOffset ?? 0;
    const first = offsets.next[queueId] ?? (offsets.fresh ? 0 : applied());
    offsets.next[queueId] = first + count;
    return first;
  }

  /** A put-topic command was sealed. */
  topicPut(topic: string): void {
    if (this.#topics.get(topic)?.absent ?? !this.#tables.topics.has(topic)) {
      this.#topics.set(topic, { next: [], fresh: true, absent: false });
    }
  }

  /** A delete-topic command was sealed. */
  topicDeleted(topic: string): void {
    this.#topics.set(topic, { next: [], fresh: true, absent: true });
  }
}
