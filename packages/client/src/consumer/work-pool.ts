import { RingQueue } from '@raftmq/base';

/** What became of an item: done with, or to be worked on again, before its successors, after a pause. */
export type WorkOutcome = 'done' | { readonly againInMs: number };

interface Lane<T> {
  readonly key: string;
  readonly waiting: RingQueue<T>;
  /** The item that is worked on, or waits to be worked on again. */
  head: T | null;
  running: boolean;
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
  #idle: (() => void)[] = [];

  /** @param work must not reject */
  constructor(concurrency: number, work: (item: T) => Promise<WorkOutcome>) {
    this.#concurrency = concurrency;
    this.#work = work;
  }

  push(laneKey: string, item: T): void {
    let lane = this.#lanes.get(laneKey);
    if (lane === undefined) {
      lane = { key: laneKey, waiting: new RingQueue<T>(), head: null, running: false, timer: null };
      this.#lanes.set(laneKey, lane);
    }
    lane.waiting.push(item);
    if (lane.head === null && lane.waiting.size === 1) this.#ready.push(lane);
    this.#pump();
  }

  /** Starts nothing more. @returns what was not worked on, or waited to be worked on again, lane by lane */
  stop(): readonly T[] {
    this.#stopped = true;
    const left: T[] = [];
    for (const lane of this.#lanes.values()) {
      if (lane.timer !== null) clearTimeout(lane.timer);
      lane.timer = null;
      if (lane.head !== null && !lane.running) left.push(lane.head);
      for (let item = lane.waiting.shift(); item !== undefined; item = lane.waiting.shift())
        left.push(item);
    }
    return left;
  }

  /** Resolves when nothing is worked on. */
  idle(): Promise<void> {
    return this.#running === 0
      ? Promise.resolve()
      : new Promise((resolve) => this.#idle.push(resolve));
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
    lane.running = true;
    const outcome = await this.#work(item);
    lane.running = false;
    this.#running--;
    if (this.#running === 0) {
      const idle = this.#idle;
      this.#idle = [];
      for (const wake of idle) wake();
    }
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
