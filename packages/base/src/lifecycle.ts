import { errorText } from './errors.js';
import type { Logger } from './logger.js';

interface Part {
  readonly name: string;
  readonly close: () => Promise<void> | void;
}

/** Opens parts in order and closes them in reverse, each once, under one deadline. */
export class Lifecycle {
  readonly #parts: Part[] = [];
  readonly #logger: Logger;
  #closing: Promise<void> | null = null;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Registers how to close a part that has just been opened. */
  opened(name: string, close: () => Promise<void> | void): void {
    this.#parts.push({ name, close });
  }

  /** Closes everything, newest first; a part that fails or outlasts the deadline is logged and passed over. */
  close(deadlineMs: number): Promise<void> {
    this.#closing ??= this.#closeAll(deadlineMs);
    return this.#closing;
  }

  async #closeAll(deadlineMs: number): Promise<void> {
    const endsAt = Date.now() + deadlineMs;
    for (let part = this.#parts.pop(); part !== undefined; part = this.#parts.pop()) {
      let timer: NodeJS.Timeout | undefined;
      const tooLate = new Promise<never>((_, reject) => {
        timer = setTimeout(
          () => reject(new Error('deadline passed')),
          Math.max(0, endsAt - Date.now()),
        );
      });
      try {
        await Promise.race([Promise.resolve(part.close()), tooLate]);
      } catch (error) {
        this.#logger.warn(
          { part: part.name, error: errorText(error) },
          'part did not close cleanly',
        );
      } finally {
        clearTimeout(timer);
      }
    }
  }
}
