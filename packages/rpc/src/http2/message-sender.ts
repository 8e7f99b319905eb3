import { RingQueue } from '@raftmq/base';
import { type StreamWriter } from '../call.js';
import { type Connection } from './connection.js';
import { type FrameBatch } from './frame-batch.js';
import { CALL_QUANTUM_BYTES, STREAM_BYTES_HIGH, STREAM_MESSAGES_HIGH } from './limits.js';
import { MESSAGE_PREFIX_BYTES } from './message-encoding.js';
import { frameFlag, frameType } from './protocol.js';

/**
 * The writing half of a gRPC call: messages wait, and are put into DATA as windows and fairness allow.
 *
 *   write ─► queue ─► writeTo, called by the connection when there is room ─► socket
 */
export abstract class MessageSender implements StreamWriter<Buffer> {
  readonly connection: Connection;
  readonly id: number;
  /** Bytes that the peer lets us send; kept by the connection too. */
  sendWindow: number;
  /** The connection has it in its list of streams with something to write. */
  queued = false;
  /** The connection does not know it any more. */
  over = false;
  /** The message under way, how much of prefix and body was sent, and what follows it. */
  #head: Buffer | null = null;
  #headSentBytes = 0;
  #behind: RingQueue<Buffer> | null = null;
  #unsentBytes = 0;
  #pending = 0;
  #pendingBytes = 0;
  #started = false;
  #ending = false;
  #ended = false;
  #waiting: (() => void)[] = [];

  constructor(connection: Connection, id: number) {
    this.connection = connection;
    this.id = id;
    this.sendWindow = connection.peerStreamWindowBytes;
  }

  /** Writes what comes before messages. May write everything, and end the stream. */
  protected abstract writeStart(batch: FrameBatch): void;
  /** Writes what comes after the last message; DATA carries END_STREAM already if `endsWithData`. */
  protected abstract writeEnd(batch: FrameBatch): void;
  protected abstract readonly endsWithData: boolean;
  abstract readonly closed: boolean;

  get pending(): number {
    return this.#pending;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  write(message: Buffer): boolean {
    if (this.closed) return false;
    this.enqueue(message);
    return this.#hasRoom;
  }

  drained(): Promise<void> {
    if (this.closed || this.#hasRoom) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Something was put into DATA, or is to be. */
  protected get unsent(): boolean {
    return this.#unsentBytes > 0;
  }

  protected get started(): boolean {
    return this.#started;
  }

  /** All that this side has to say was put into frames. */
  protected get localEnded(): boolean {
    return this.#ended;
  }

  /** The peer has a piece of a message whose rest is here. */
  protected get midMessage(): boolean {
    return this.#headSentBytes > 0;
  }

  protected enqueue(message: Buffer): void {
    if (this.#head === null) this.#head = message;
    else (this.#behind ??= new RingQueue()).push(message);
    this.#unsentBytes += MESSAGE_PREFIX_BYTES + message.length;
    this.#pending++;
    this.#pendingBytes += message.length;
    this.connection.pendingBytes += message.length;
    this.connection.ready(this);
  }

  /** Nothing will be written any more. */
  protected get ending(): boolean {
    return this.#ending;
  }

  /** After what was written, this side is done. */
  protected finish(): void {
    this.#ending = true;
    this.connection.ready(this);
    this.wake();
  }

  get #hasRoom(): boolean {
    return this.#pending < STREAM_MESSAGES_HIGH && this.#pendingBytes < STREAM_BYTES_HIGH;
  }

  /** Writes as much as windows and fairness allow; comes back to the connection's list if there is more. */
  writeTo(batch: FrameBatch): void {
    if (this.over) return;
    if (!this.#started) {
      this.#started = true;
      this.writeStart(batch);
    }
    this.#writeMessages(batch);
    if (this.#unsentBytes === 0 && this.#ending && !this.#ended) {
      this.#ended = true;
      this.writeEnd(batch);
    }
    if (this.#waiting.length > 0 && this.#hasRoom) this.wake();
  }

  #writeMessages(batch: FrameBatch): void {
    const { connection } = this;
    let quantum = CALL_QUANTUM_BYTES;
    while (this.#unsentBytes > 0 && this.sendWindow > 0) {
      if (connection.sendWindow <= 0) {
        connection.starve(this);
        return;
      }
      if (quantum <= 0) {
        connection.ready(this);
        return;
      }
      const size = Math.min(
        this.#unsentBytes,
        this.sendWindow,
        connection.sendWindow,
        connection.peerFrameBytesMax,
        quantum,
      );
      const last = this.#ending && this.endsWithData && size === this.#unsentBytes;
      batch.frameHeader(size, frameType.DATA, last ? frameFlag.END_STREAM : 0, this.id);
      this.#fill(batch, size);
      this.sendWindow -= size;
      connection.sendWindow -= size;
      quantum -= size;
      if (last) this.#ended = true;
    }
  }

  #fill(batch: FrameBatch, size: number): void {
    let rest = size;
    while (rest > 0) {
      const message = this.#head!;
      let sent = this.#headSentBytes;
      if (sent < MESSAGE_PREFIX_BYTES) {
        const part = Math.min(rest, MESSAGE_PREFIX_BYTES - sent);
        batch.messagePrefix(message.length, sent, sent + part);
        sent += part;
        rest -= part;
      }
      const from = sent - MESSAGE_PREFIX_BYTES;
      const part = Math.min(rest, message.length - from);
      if (part > 0) {
        batch.piece(message, from, from + part);
        sent += part;
        rest -= part;
      }
      this.#headSentBytes = sent;
      if (sent === MESSAGE_PREFIX_BYTES + message.length) this.#next(message.length);
    }
    this.#unsentBytes -= size;
  }

  #next(sentBodyBytes: number): void {
    this.#head = this.#behind?.shift() ?? null;
    this.#headSentBytes = 0;
    this.#pending--;
    this.#pendingBytes -= sentBodyBytes;
    this.connection.pendingBytes -= sentBodyBytes;
  }

  /** Forgets messages that wait. */
  protected dropUnsent(): void {
    this.connection.pendingBytes -= this.#pendingBytes;
    this.#head = null;
    this.#headSentBytes = 0;
    this.#behind = null;
    this.#unsentBytes = 0;
    this.#pending = 0;
    this.#pendingBytes = 0;
  }

  /** The peer takes nothing more; what it said is still delivered. */
  stopSending(): void {
    this.dropUnsent();
    this.#ending = true;
    this.#ended = true;
    this.wake();
  }

  /** Lets those go on who wait in `drained`. */
  protected wake(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
