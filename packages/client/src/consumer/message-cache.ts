/**
 * Counts what a push consumer holds: messages received and not settled yet. Polls ask for room before they receive, so
 * the limits hold up to one poll per queue.
 */
export class MessageCache {
  readonly #messagesMax: number;
  readonly #bytesMax: number;
  #messages = 0;
  #bytes = 0;
  #waiting: (() => void)[] = [];

  constructor(messagesMax: number, bytesMax: number) {
    this.#messagesMax = messagesMax;
    this.#bytesMax = bytesMax;
  }

  get messages(): number {
    return this.#messages;
  }

  /** How many messages may be received now; 0 = none until `changed`. */
  get room(): number {
    return this.#bytes >= this.#bytesMax ? 0 : Math.max(0, this.#messagesMax - this.#messages);
  }

  /** Takes room ahead of a poll, given back by `cancel` or turned into messages by `add`. */
  reserve(messages: number): void {
    this.#messages += messages;
  }

  /** A poll that reserved room is over. @param bytes of the messages that it brought */
  settle(reserved: number, messages: number, bytes: number): void {
    this.#messages += messages - reserved;
    this.#bytes += bytes;
    if (messages < reserved) this.#wake();
  }

  remove(bytes: number): void {
    this.#messages--;
    this.#bytes -= bytes;
    this.#wake();
  }

  /** Resolves at the next time that something leaves, or at `wakeAll`. */
  changed(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  wakeAll(): void {
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}
