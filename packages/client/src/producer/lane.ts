import { type MqError, RingQueue } from '@raftmq/base';
import { type OutgoingMessage } from '@raftmq/protocol';
import { type SendReceipt } from './message.js';

/** What one call of `send` or `sendBatch` waits for. Its messages travel in one request, in their order. */
export interface SendUnit {
  readonly messages: readonly OutgoingMessage[];
  readonly sizeBytes: number;
  /** May share a request with other units. */
  readonly joinable: boolean;
  readonly resolve: (receipts: readonly SendReceipt[]) => void;
  readonly reject: (error: MqError) => void;
}

/** When a lane hands out a request, and how large it may be. */
export interface BatchLimits {
  readonly messagesMax: number;
  readonly bytesMax: number;
  /** Requests under way at the same time. */
  readonly inFlightMax: number;
  /** How long the first message waits for company; 0 = until the end of this turn of the event loop. */
  readonly lingerMs: number;
}

/**
 * Messages on their way to the same place: all messages of a topic without a message group, or those of one message
 * group. Gathers them into requests, and keeps to the limit of requests under way; with a limit of one, order holds
 * whatever is retried. A pure queue: the producer asks it, and tells it what happened.
 */
export class Lane {
  readonly topic: string;
  readonly key: string;
  readonly #limits: BatchLimits;
  readonly #waiting = new RingQueue<SendUnit>();
  #waitingMessages = 0;
  #waitingBytes = 0;
  #inFlight = 0;
  /** When the oldest waiting unit came, on the monotonic clock. */
  #oldestMs = 0;
  /** Set by the producer while the lane is on its list of lanes to look at. */
  scheduled = false;
  /** The producer's timer for the end of the linger time. */
  lingerTimer: NodeJS.Timeout | null = null;

  constructor(key: string, topic: string, limits: BatchLimits) {
    this.key = key;
    this.topic = topic;
    this.#limits = limits;
  }

  /** Nothing waits and nothing is under way. */
  get idle(): boolean {
    return this.#waiting.size === 0 && this.#inFlight === 0;
  }

  push(unit: SendUnit, nowMs: number): void {
    if (this.#waiting.size === 0) this.#oldestMs = nowMs;
    this.#waiting.push(unit);
    this.#waitingMessages += unit.messages.length;
    this.#waitingBytes += unit.sizeBytes;
  }

  /**
   * Milliseconds until `take` has something to give: 0 = now, null = not before a request comes back or a unit comes in.
   */
  dueInMs(nowMs: number): number | null {
    if (this.#waiting.size === 0 || this.#inFlight >= this.#limits.inFlightMax) return null;
    const full =
      this.#waitingMessages >= this.#limits.messagesMax ||
      this.#waitingBytes >= this.#limits.bytesMax ||
      this.#waiting.peek()?.joinable === false;
    return full ? 0 : Math.max(0, this.#oldestMs + this.#limits.lingerMs - nowMs);
  }

  /** The units of the next request, which is under way from now on: at least one, as many as the limits allow. */
  take(nowMs: number): readonly SendUnit[] {
    const units: SendUnit[] = [];
    let messages = 0;
    let bytes = 0;
    for (let unit = this.#waiting.peek(); unit !== undefined; unit = this.#waiting.peek()) {
      const fits =
        messages + unit.messages.length <= this.#limits.messagesMax &&
        bytes + unit.sizeBytes <= this.#limits.bytesMax;
      if (units.length > 0 && (!fits || !unit.joinable || !units[0]!.joinable)) break;
      units.push(unit);
      this.#waiting.shift();
      messages += unit.messages.length;
      bytes += unit.sizeBytes;
    }
    this.#waitingMessages -= messages;
    this.#waitingBytes -= bytes;
    this.#oldestMs = nowMs;
    if (units.length > 0) this.#inFlight++;
    return units;
  }

  /** A request came back. */
  settled(): void {
    this.#inFlight--;
  }

  /** Takes everything that waits, to refuse it. */
  drain(): readonly SendUnit[] {
    const units: SendUnit[] = [];
    for (let unit = this.#waiting.shift(); unit !== undefined; unit = this.#waiting.shift()) {
      units.push(unit);
    }
    this.#waitingMessages = 0;
    this.#waitingBytes = 0;
    return units;
  }
}
