import { RingQueue } from '@raftmq/base';

/** What became of an item: done with, or to be worked on again, before its successors, after a pause. */
export type WorkOutcome = 'done' | { readonly againInMs: number };

interface Lane<T> {
  readonly key: string;
  readonly waiting: RingQueue<T>;
  /** The item that is worked on, or waits to be worked on again. */
  head: T | null;
  timer: NodeJS.Timeout | null;
}

/**
 * Works on items, at most `concurrency` at a time. Items of one lane are worked on one after another, in their order,
 * each until it is done; an item that waits for its next attempt blocks its lane and nothing else. It has no limit of
 * its own: whoever fills it enforces one.
 */
export class WorkPool<T> {
  readonly #concurrency: number;
  readonly #work: (item: T) => Promise<WorkOutcome>;
  readonly #lanes = new Map<string, Lane<T>>();
  readonly #ready = new RingQueue<Lane<T>>();
  #running = 0;
  #stopped = false;

  /** @param work must not reject */
  constructor(concurrency: number, work: (item: T) => Promise<WorkOutcome>) {
    this.#concurrency = concurrency;
    this.#work = work;
  }

  push(laneKey: string, item: T): void {
    let lane = this.#lanes.get(laneKey);
    if (lane === undefined) {
      lane = { key: laneKey, waiting: new RingQueue<T>(), head: null, timer: null };
      this.#lanes.set(laneKey, lane);
    }
    lane.waiting.push(item);
    if (lane.head === null && lane.waiting.size === 1) this.#ready.push(lane);
    this.#pump();
  }

  /** Starts nothing more. */
  stop(): void {
    this.#stopped = true;
    for (const lane of this.#lanes.values()) {
      if (lane.timer !== null) clearTimeout(lane.timer);
    }
  }

  #pump(): void {
    while (this.#running < this.#concurrency && !this.#stopped) {
      const lane = this.#ready.shift();
      if (lane === undefined) return;
      lane.head ??= lane.waiting.shift() ?? null;
      if (lane.head !== null) void this.#run(lane, lane.head);
    }
  }

  async #run(lane: Lane<T>, item: T): Promise<void> {
    this.#running++;
    const outcome = await this.#work(item);
    this.#running--;
    if (outcome === 'done') {
      lane.head = null;
      if (lane.waiting.size > 0) this.#ready.push(lane);
      else this.#lanes.delete(lane.key);
    } else if (!this.#stopped) {
      lane.timer = setTimeout(() => {
        lane.timer = null;
        this.#ready.push(lane);
        this.#pump();
      }, outcome.againInMs);
    }
    this.#pump();
  }
}
