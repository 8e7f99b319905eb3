import { MqError } from '@raftmq/base';

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: MqError) => void;
}

/** Who waits for a leadership transfer under way; several callers share one transfer. */
export class Transfer {
  #waiters: Waiter[] = [];

  get waiting(): boolean {
    return this.#waiters.length > 0;
  }

  begin(): Promise<void> {
    return new Promise<void>((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  succeed(): void {
    for (const waiter of this.#take()) waiter.resolve();
  }

  /** Does nothing when nobody waits. */
  fail(
    message: string,
    code: 'HA_NOT_AVAILABLE' | 'PRECONDITION_FAILED' = 'HA_NOT_AVAILABLE',
  ): void {
    if (this.#waiters.length === 0) return;
    const error = new MqError(code, message);
    for (const waiter of this.#take()) waiter.reject(error);
  }

  #take(): Waiter[] {
    const waiters = this.#waiters;
    this.#waiters = [];
    return waiters;
  }
}
