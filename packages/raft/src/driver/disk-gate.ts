import { RingQueue } from '@raftmq/base';
import { type Message } from '../core/types.js';

/** One step with disk work, and what may happen when it is durable. */
export interface GatedStep {
  /** Writes of this step that are still under way. */
  pending: number;
  readonly messages: readonly Message[];
  /** Last index appended in this step, 0 without appends. */
  readonly appendedThrough: number;
  /** The core's term right after the step. */
  readonly term: number;
}

/**
 * Holds back votes and acknowledgements until the disk work of their own step, and of every step before, is durable.
 *
 *   step:      41      42        43
 *   disk:    writing  durable  durable
 *   held:     ack      vote      ack      nothing leaves before 41 is done; then all three leave, in order
 */
export class DiskGate {
  readonly #steps = new RingQueue<GatedStep>();
  readonly #release: (step: GatedStep) => void;

  /** @param release called once per step, in order; it may enter new steps */
  constructor(release: (step: GatedStep) => void) {
    this.#release = release;
  }

  /** Steps that wait for their own disk work or for an earlier step's. */
  get size(): number {
    return this.#steps.size;
  }

  /** Takes a step in that has started `pending` writes; each has to be reported with {@link done}. */
  enter(step: GatedStep): void {
    if (step.pending === 0 && this.#steps.size === 0) this.#release(step);
    else this.#steps.push(step);
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
      this.#release(head);
    }
  }

  /** Forgets everything: the process is dying, nothing may leave any more. */
  clear(): void {
    this.#steps.clear();
  }
}
