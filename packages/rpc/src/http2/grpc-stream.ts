import { RingQueue } from '@raftmq/base';
import { type RpcStream, type StreamListener } from '../call.js';
import { type RpcStatus } from '../status.js';
import { type Connection } from './connection.js';
import { type FrameBatch } from './frame-batch.js';
import { HeldBytes } from './held-bytes.js';
import { CALL_QUANTUM_BYTES, STREAM_BYTES_HIGH, STREAM_MESSAGES_HIGH } from './limits.js';
import { type MessageEncoding, unpack } from './message-encoding.js';
import { PartialMessage } from './partial-message.js';
import { type ErrorCodeName, frameFlag, frameType } from './protocol.js';
import { type ReceiveWindow } from './receive-window.js';

const PREFIX_BYTES = 5;

/** Why incoming bytes wait; bits. */
const hold = { NO_LISTENER: 1, PAUSED: 2, UNPACKING: 4 } as const;

/**
 * One gRPC call on an HTTP/2 stream, as both ends have it: messages cut out of DATA, and put into DATA as flow control
 * allows. What the call means is up to {@link ServerCall} and its counterpart.
 *
 *   socket ─► piece ─► (held while nobody may have it) ─► messageReceived … endReceived
 *   write ─► queue ─► writeTo, called by the connection when there is room ─► socket
 */
export abstract class GrpcStream implements RpcStream<Buffer, Buffer> {
  readonly connection: Connection;
  readonly id: number;
  /** When the call has to be over; monotonic, Infinity = whenever. */
  readonly deadlineAtMs: number;
  /** Bytes that the peer lets us send, and that we let it send. Kept by the connection too. */
  sendWindow: number;
  readonly receiveWindow: ReceiveWindow;
  /** The connection has it in its list of streams with something to write. */
  queued = false;
  /** END_STREAM came. */
  remoteEnded = false;
  /** The connection does not know it any more. */
  over = false;
  /** What comes in is of no use any more. */
  protected deaf = false;
  /** How the peer packs messages; null = it does not. */
  protected encoding: MessageEncoding | null = null;
  protected listener: StreamListener<Buffer> | null = null;
  /** The length that the peer announced for all DATA, less what came; -1 = it announced none. */
  #contentBytes = -1;
  #holds = 0;
  #held: HeldBytes | null = null;
  #partial: PartialMessage | null = null;
  #endDelivered = false;

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

  constructor(connection: Connection, id: number, deadlineAtMs: number) {
    this.connection = connection;
    this.id = id;
    this.deadlineAtMs = deadlineAtMs;
    this.sendWindow = connection.peerStreamWindowBytes;
    this.receiveWindow = connection.newReceiveWindow();
  }

  /** Writes what comes before messages. May write everything, and end the stream. */
  protected abstract writeStart(batch: FrameBatch): void;
  /** Writes what comes after the last message; DATA carries END_STREAM already if `endsWithData`. */
  protected abstract writeEnd(batch: FrameBatch): void;
  protected abstract readonly endsWithData: boolean;
  protected abstract messageReceived(message: Buffer): void;
  protected abstract endReceived(): void;
  /** Ends the call because of what the peer sent. */
  protected abstract refuse(status: RpcStatus, details: string): void;
  /** The peer reset the stream; it is over already. */
  abstract reset(code: number): void;
  /** We reset the stream, because of what the peer did in it; it is over already. */
  abstract violated(code: ErrorCodeName): void;
  /** The connection is gone; the stream is over already. */
  abstract lost(reason: string): void;
  /** Its deadline has passed. */
  abstract expire(): void;

  // ---- Incoming -------------------------------------------------------------------------------------------------

  /** The peer announced how many bytes of DATA will come. */
  expectContent(sizeBytes: number): void {
    this.#contentBytes = sizeBytes;
  }

  /** Whether what was announced has come, no more and no less. */
  get contentFits(): boolean {
    return this.#contentBytes <= 0;
  }

  /** Takes DATA; `chunk` is valid during this call only. */
  piece(chunk: Buffer, from: number, end: number): void {
    const size = end - from;
    if (this.#contentBytes >= 0) {
      this.#contentBytes -= size;
      if (this.#contentBytes < 0) {
        this.connection.consumed(size);
        this.connection.streamError(this.id, 'PROTOCOL_ERROR');
        return;
      }
    }
    if (this.deaf) {
      this.connection.consumed(size);
      return;
    }
    const stop = this.#held === null ? this.#parse(chunk, from, end) : from;
    this.#consumed(stop - from);
    if (stop === end) return;
    this.#held ??= new HeldBytes();
    this.#held.append(chunk, stop, end);
  }

  /** END_STREAM came. */
  remoteEnd(): void {
    this.remoteEnded = true;
    if (this.#holds === 0 && this.#held === null) this.#deliverEnd();
  }

  listen(listener: StreamListener<Buffer>): void {
    this.listener = listener;
    this.release(hold.NO_LISTENER);
  }

  pause(): void {
    this.#holds |= hold.PAUSED;
  }

  resume(): void {
    this.release(hold.PAUSED);
  }

  /** Keeps messages back until there is a listener. */
  protected holdForListener(): void {
    this.#holds |= hold.NO_LISTENER;
  }

  /** Delivery goes on after the caller is done, never within its call. */
  protected release(reason: number): void {
    if ((this.#holds & reason) === 0) return;
    this.#holds &= ~reason;
    if (this.#holds === 0 && (this.#held !== null || this.remoteEnded)) {
      queueMicrotask(() => this.#feed());
    }
  }

  #feed(): void {
    const held = this.#held;
    if (held !== null && this.#holds === 0) {
      const { bytes, from, end } = held;
      // In our hands now: if the call is given up while a message is delivered, they are not counted twice.
      held.from = end;
      const stop = this.#parse(bytes, from, end);
      this.#consumed(stop - from);
      if (this.#held !== held) return;
      held.from = stop;
      if (held.from === held.end) this.#held = null;
    }
    if (this.#held === null && this.#holds === 0 && this.remoteEnded) this.#deliverEnd();
  }

  #deliverEnd(): void {
    if (this.#endDelivered || this.deaf) return;
    this.#endDelivered = true;
    if (this.#partial !== null)
      this.refuse('INTERNAL', 'the stream ended in the middle of a message');
    else this.endReceived();
  }

  /** @returns where it stopped: at `end`, or where delivery has to wait */
  #parse(chunk: Buffer, from: number, end: number): number {
    const { messageBytesMax } = this.connection;
    let at = from;
    while (at < end) {
      if (this.deaf) return end;
      if (this.#holds !== 0) return at;
      if (this.#partial === null && end - at >= PREFIX_BYTES) {
        const size = chunk.readUInt32BE(at + 1);
        const next = at + PREFIX_BYTES + size;
        if (next <= end && size <= messageBytesMax) {
          // The one copy of it.
          const message = Buffer.allocUnsafe(size);
          chunk.copy(message, 0, at + PREFIX_BYTES, next);
          this.#message(chunk[at]!, message);
          at = next;
          continue;
        }
      }
      const partial = (this.#partial ??= new PartialMessage(this.connection));
      at = partial.take(chunk, at, end);
      if (partial.refused !== null) this.#refusePartial(partial);
      else if (partial.complete) {
        this.#partial = null;
        this.#message(partial.flag, partial.finish());
      }
    }
    return end;
  }

  #refusePartial(partial: PartialMessage): void {
    const bySize = partial.refused === 'size';
    if (!bySize) this.connection.probe.refusedMemory++;
    this.refuse(
      'RESOURCE_EXHAUSTED',
      bySize
        ? `a message of more than ${this.connection.messageBytesMax} bytes`
        : 'too many bytes of unfinished messages on this connection; send fewer at once',
    );
  }

  #message(flag: number, message: Buffer): void {
    if (flag === 0) {
      this.messageReceived(message);
      return;
    }
    if (flag !== 1 || this.encoding === null) {
      this.refuse('INTERNAL', 'a message is marked as compressed, and no encoding was named');
      return;
    }
    this.#holds |= hold.UNPACKING;
    unpack(this.encoding, message, this.connection.messageBytesMax, (unpacked, refusal) => {
      if (this.deaf || this.over) return;
      if (unpacked === null) {
        if (refusal === 'size') {
          const { messageBytesMax } = this.connection;
          this.refuse('RESOURCE_EXHAUSTED', `a message of more than ${messageBytesMax} bytes`);
        } else {
          this.refuse('INTERNAL', 'a compressed message cannot be unpacked');
        }
        return;
      }
      this.messageReceived(unpacked);
      this.release(hold.UNPACKING);
    });
  }

  #consumed(sizeBytes: number): void {
    if (sizeBytes === 0) return;
    this.connection.consumed(sizeBytes);
    if (this.remoteEnded || this.deaf) return;
    const returnedBytes = this.receiveWindow.consumed(sizeBytes);
    if (returnedBytes > 0) this.connection.windowUpdate(this.id, returnedBytes);
  }

  // ---- Outgoing -------------------------------------------------------------------------------------------------

  abstract readonly closed: boolean;
  abstract end(): void;
  abstract fail(error: Error): void;

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
    this.#unsentBytes += PREFIX_BYTES + message.length;
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
    this.#wake();
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
    if (this.#waiting.length > 0 && this.#hasRoom) this.#wake();
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
      if (sent < PREFIX_BYTES) {
        const part = Math.min(rest, PREFIX_BYTES - sent);
        batch.messagePrefix(message.length, sent, sent + part);
        sent += part;
        rest -= part;
      }
      const from = sent - PREFIX_BYTES;
      const part = Math.min(rest, message.length - from);
      if (part > 0) {
        batch.piece(message, from, from + part);
        sent += part;
        rest -= part;
      }
      this.#headSentBytes = sent;
      if (sent === PREFIX_BYTES + message.length) this.#next(message.length);
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
    this.#wake();
  }

  /** The connection forgets it: nothing is received or sent any more. */
  forget(): void {
    this.over = true;
    this.deaf = true;
    this.dropUnsent();
    this.discardIncoming();
    this.#wake();
  }

  /** Gives incoming bytes up, and the room that they took. */
  protected discardIncoming(): void {
    this.deaf = true;
    this.#partial?.discard();
    this.#partial = null;
    if (this.#held !== null) this.connection.consumed(this.#held.end - this.#held.from);
    this.#held = null;
  }

  #wake(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
