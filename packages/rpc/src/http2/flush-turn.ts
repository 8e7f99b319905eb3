import { FrameBatch } from './frame-batch.js';

export interface Flushable {
  /** Writes what it has to say by way of the batch, which is empty before and after. Does not throw. */
  flush(batch: FrameBatch): void;
}

/**
 * Gathers everything that connections have to say in one turn of the event loop: answers that become ready together
 * leave in one write per connection.
 */
export class FlushTurn {
  readonly #batch = new FrameBatch();
  #dirty: Flushable[] = [];

  /** Flushes it once, after the callbacks of this turn. The caller adds nothing twice. */
  add(one: Flushable): void {
    if (this.#dirty.push(one) === 1) setImmediate(this.#run);
  }

  readonly #run = (): void => {
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const one of dirty) one.flush(this.#batch);
  };
}
