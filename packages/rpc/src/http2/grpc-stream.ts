import { type RpcStream, type StreamListener } from '../call.js';
import { type RpcStatus } from '../status.js';
import { type Connection } from './connection.js';
import { HeldBytes } from './held-bytes.js';
import { MESSAGE_PREFIX_BYTES, type MessageEncoding, unpack } from './message-encoding.js';
import { MessageSender } from './message-sender.js';
import { PartialMessage } from './partial-message.js';
import { type ErrorCodeName } from './protocol.js';
import { type ReceiveWindow } from './receive-window.js';

/** Why incoming bytes wait; bits. */
const hold = { NO_LISTENER: 1, PAUSED: 2, UNPACKING: 4 } as const;

/**
 * One gRPC call on an HTTP/2 stream, as both ends have it: messages are cut out of DATA, and put into it
 * ({@link MessageSender}). What the call means is up to {@link ServerCall} and its counterpart.
 *
 *   socket ─► piece ─► (held while nobody may have it) ─► messageReceived … endReceived
 */
export abstract class GrpcStream extends MessageSender implements RpcStream<Buffer, Buffer> {
  /** When the call has to be over; monotonic, Infinity = whenever. */
  readonly deadlineAtMs: number;
  /** Bytes that we let the peer send. */
  readonly receiveWindow: ReceiveWindow;
  /** END_STREAM came. */
  remoteEnded = false;
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

  constructor(connection: Connection, id: number, deadlineAtMs: number) {
    super(connection, id);
    this.deadlineAtMs = deadlineAtMs;
    this.receiveWindow = connection.newReceiveWindow();
  }

  abstract end(): void;
  abstract fail(error: Error): void;
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
      if (this.#partial === null && end - at >= MESSAGE_PREFIX_BYTES) {
        const size = chunk.readUInt32BE(at + 1);
        const next = at + MESSAGE_PREFIX_BYTES + size;
        if (next <= end && size <= messageBytesMax) {
          // The one copy of it.
          const message = Buffer.allocUnsafe(size);
          chunk.copy(message, 0, at + MESSAGE_PREFIX_BYTES, next);
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

  // ---- The end --------------------------------------------------------------------------------------------------

  /** The connection forgets it: nothing is received or sent any more. */
  forget(): void {
    this.over = true;
    this.deaf = true;
    this.dropUnsent();
    this.discardIncoming();
    this.wake();
  }

  /** Gives incoming bytes up, and the room that they took. */
  protected discardIncoming(): void {
    this.deaf = true;
    this.#partial?.discard();
    this.#partial = null;
    if (this.#held !== null) this.connection.consumed(this.#held.end - this.#held.from);
    this.#held = null;
  }
}
