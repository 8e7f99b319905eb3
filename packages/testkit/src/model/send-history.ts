/** A message that a producer wants stored. */
interface SentMessage {
  readonly topic: string;
  attempts: number;
  /** Attempts that had no effect for certain. */
  refused: number;
  acked: boolean;
}

/** What producers asked for, and what they were told. */
export class SendHistory {
  readonly #messages = new Map<string, SentMessage>();
  /** Largest acknowledged offset, by topic and queue. */
  readonly #ackedOffsets = new Map<string, number>();
  ackedCount = 0;

  get messageIds(): Iterable<string> {
    return this.#messages.keys();
  }

  known(messageId: string): SentMessage | undefined {
    return this.#messages.get(messageId);
  }

  topicDeleted(topic: string): void {
    for (const where of [...this.#ackedOffsets.keys()])
      if (where.startsWith(`${topic}/`)) this.#ackedOffsets.delete(where);
  }

  /** One more attempt for these messages. @returns acknowledged offsets as of now, by topic and queue */
  attempt(topic: string, messageIds: readonly string[]): ReadonlyMap<string, number> {
    for (const id of messageIds) {
      const known = this.#messages.get(id);
      if (known === undefined)
        this.#messages.set(id, { topic, attempts: 1, refused: 0, acked: false });
      else known.attempts++;
    }
    return new Map(this.#ackedOffsets);
  }

  /** The server answered that they are stored. */
  acked(topic: string, messageIds: readonly string[], queueId: number, firstOffset: number): void {
    this.ackedTimed(messageIds);
    const key = `${topic}/${queueId}`;
    const lastOffset = firstOffset + messageIds.length - 1;
    this.#ackedOffsets.set(key, Math.max(lastOffset, this.#ackedOffsets.get(key) ?? -1));
  }

  /** The server answered that they are stored; some may wait for their time. */
  ackedTimed(messageIds: readonly string[]): void {
    for (const id of messageIds) this.#messages.get(id)!.acked = true;
    this.ackedCount += messageIds.length;
  }

  refused(messageIds: readonly string[]): void {
    for (const id of messageIds) this.#messages.get(id)!.refused++;
  }
}
