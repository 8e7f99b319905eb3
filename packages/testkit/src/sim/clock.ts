import { type CancelTimer, type Clock } from '@raftmq/base';
import { type Life } from './event-heap.js';
import { type World } from './world.js';

/** 2024-01-01T00:00:00Z: where the wall clocks of the simulation start. */
export const WALL_START_MS = 1_704_067_200_000;

/** How a node's clocks differ from the world's. */
export interface ClockSkew {
  /** Monotonic milliseconds per millisecond of the world. */
  rate: number;
  /** What the wall clock is ahead of the world's; may jump. */
  wallOffsetMs: number;
}

/**
 * The clock of one process. Its monotonic time starts at an arbitrary point in each life, so that a value that travels
 * to another process is useless there.
 */
export class SimClock implements Clock {
  readonly #world: World;
  readonly #life: Life;
  readonly #skew: ClockSkew;
  readonly #bornAtMs: number;
  readonly #startMs: number;

  constructor(world: World, life: Life, skew: ClockSkew, startMs: number) {
    this.#world = world;
    this.#life = life;
    this.#skew = skew;
    this.#bornAtMs = world.nowMs;
    this.#startMs = startMs;
  }

  monotonicMs(): number {
    return this.#startMs + (this.#world.nowMs - this.#bornAtMs) * this.#skew.rate;
  }

  wallMs(): number {
    return Math.floor(WALL_START_MS + this.#world.nowMs + this.#skew.wallOffsetMs);
  }

  setTimer(delayMs: number, fire: () => void): CancelTimer {
    const event = this.#world.schedule(delayMs / this.#skew.rate, this.#life, 'timer', fire);
    return () => {
      event.run = null;
    };
  }
}
