import { type LoggedMessage } from './log-referee.js';

/** Names a queue; that of a topic which is made anew is another one. */
export function queueKey({ topic, topicEpoch, queueId }: LoggedMessage): string {
  return `${topic}/${topicEpoch}/${queueId}`;
}

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
  /** Largest acknowledged offset, by queue; see {@link queueKey}. */
  readonly #ackedOffsets = new Map<string, number>();
  ackedCount = 0;

  get messageIds(): Iterable<string> {
    return this.#messages.keys();
  }

  known(messageId: string): SentMessage | undefined {
    return this.#messages.get(messageId);
  }

  /** One more attempt for these messages. @returns acknowledged offsets as of now, by {@link queueKey} */
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
  acked(first: LoggedMessage, messageIds: readonly string[]): void {
    this.ackedTimed(messageIds);
    const key = queueKey(first);
    const firstOffset = first.queueOffset;
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
