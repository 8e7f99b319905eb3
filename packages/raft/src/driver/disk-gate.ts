import { RingQueue } from '@raftmq/base';
import { type Message } from '../core/types.js';

/** One step's disk work, and what may leave when it is durable. */
export interface GatedStep {
  /** Writes of this step that are still under way. */
  pending: number;
  messages: readonly Message[];
}

/**
 * Holds back votes and acknowledgements until the disk work of their own step, and of every step before, is durable.
 *
 *   step:      41      42        43
 *   disk:    writing  durable   (none)
 *   held:     ack      vote      ack      nothing leaves before 41 is done; then all three leave, in order
 */
export class DiskGate {
  readonly #steps = new RingQueue<GatedStep>();
  readonly #release: (messages: readonly Message[]) => void;

  constructor(release: (messages: readonly Message[]) => void) {
    this.#release = release;
  }

  /** Steps that wait for their own disk work or for an earlier step's. */
  get size(): number {
    return this.#steps.size;
  }

  /**
   * Enters one step.
   * @param writes how many writes it started; each has to be reported with `done`
   * @param messages a list the gate may keep
   * @returns the handle for `done`, or null when the messages left at once
   */
  enter(writes: number, messages: readonly Message[]): GatedStep | null {
    if (writes === 0 && this.#steps.size === 0) {
      if (messages.length > 0) this.#release(messages);
      return null;
    }
    if (writes === 0 && messages.length === 0) return null;
    const step: GatedStep = { pending: writes, messages };
    this.#steps.push(step);
    return step;
  }

  /** One write of `step` is durable. */
  done(step: GatedStep): void {
    step.pending--;
    for (
      let head = this.#steps.peek();
      head !== undefined && head.pending === 0;
      head = this.#steps.peek()
    ) {
      this.#steps.shift();
      if (head.messages.length > 0) this.#release(head.messages);
    }
  }

  /** Forgets everything: the process is dying, nothing may leave any more. */
  clear(): void {
    this.#steps.clear();
  }
}
