import { type Socket } from 'node:net';
import { type FlushTurn, type Flushable } from './flush-turn.js';
import { type FrameBatch } from './frame-batch.js';
import { FLUSH_BYTES_MAX, SOCKET_BYTES_MAX } from './limits.js';
import { type MessageSender } from './message-sender.js';

/** The connection, as its outbox sees it. */
export interface OutboxOwner {
  /** Bytes of DATA that the peer takes now, on the whole connection. */
  readonly sendWindow: number;
  /** Messages left: whoever gets answers may ask for something again. */
  answered(): void;
  /** This code is broken. */
  crashed(error: unknown): void;
}

/**
 * What a connection has to say. Control frames go first; then each stream with something to write has its turn, round and
 * round. One write per turn of the event loop takes all of it, up to a limit. Streams wait, with what they have, while the
 * socket is full (all of them) or the window of the connection is closed (those with DATA).
 */
export class Outbox implements Flushable {
  readonly #socket: Socket;
  readonly #turn: FlushTurn;
  readonly #owner: OutboxOwner;
  readonly #control: Buffer[] = [];
  #controlBytes = 0;
  readonly #ready: MessageSender[] = [];
  readonly #starved = new Set<MessageSender>();
  #planned = false;
  #awaitingDrain = false;
  #ending = false;

  constructor(socket: Socket, turn: FlushTurn, owner: OutboxOwner) {
    this.#socket = socket;
    this.#turn = turn;
    this.#owner = owner;
    socket.on('drain', () => this.#drained());
  }

  /** Control frames that wait; only a socket that takes nothing makes them many. */
  get controlBytes(): number {
    return this.#controlBytes;
  }

  /** One whole frame, or several. */
  control(frame: Buffer): void {
    this.#control.push(frame);
    this.#controlBytes += frame.length;
    this.#plan();
  }

  /** The stream has something to write. */
  ready(stream: MessageSender): void {
    if (stream.queued) return;
    stream.queued = true;
    this.#ready.push(stream);
    this.#plan();
  }

  /** The stream has DATA, and the window of the connection is closed. */
  starve(stream: MessageSender): void {
    this.#starved.add(stream);
  }

  /** The window of the connection is open again. */
  windowOpened(): void {
    if (this.#starved.size > 0) this.#plan();
  }

  forget(stream: MessageSender): void {
    this.#starved.delete(stream);
  }

  /** Nothing more will be said: the socket ends when all is written. */
  end(): void {
    this.#ending = true;
    this.#plan();
  }

  #plan(): void {
    if (this.#planned || this.#awaitingDrain) return;
    this.#planned = true;
    this.#turn.add(this);
  }

  #drained(): void {
    if (!this.#awaitingDrain) return;
    this.#awaitingDrain = false;
    this.#plan();
  }

  flush(batch: FrameBatch): void {
    this.#planned = false;
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded) return;
    if (socket.writableLength > SOCKET_BYTES_MAX) {
      this.#awaitingDrain = true;
      return;
    }
    try {
      for (const frame of this.#control) batch.piece(frame, 0, frame.length);
      this.#control.length = 0;
      this.#controlBytes = 0;
      this.#writeStreams(batch);
    } catch (error) {
      batch.take();
      this.#owner.crashed(error);
      return;
    }
    const chunks = batch.take();
    if (chunks.length === 1) {
      socket.write(chunks[0]!);
    } else if (chunks.length > 1) {
      socket.cork();
      for (const chunk of chunks) socket.write(chunk);
      socket.uncork();
    }
    if (this.#ending && this.#control.length === 0) socket.end();
    else if (this.#hasMore) this.#plan();
  }

  /** Whether this turn's share was not enough for all of it. */
  get #hasMore(): boolean {
    return (
      this.#control.length > 0 ||
      this.#ready.length > 0 ||
      (this.#starved.size > 0 && this.#owner.sendWindow > 0)
    );
  }

  #writeStreams(batch: FrameBatch): void {
    const ready = this.#ready;
    let turns = 0;
    // A stream that has more to write than its share comes back to the end of the list.
    while (turns < ready.length && batch.sizeBytes < FLUSH_BYTES_MAX) {
      const stream = ready[turns++]!;
      stream.queued = false;
      stream.writeTo(batch);
    }
    if (turns === ready.length) ready.length = 0;
    else ready.splice(0, turns);
    while (
      this.#starved.size > 0 &&
      this.#owner.sendWindow > 0 &&
      batch.sizeBytes < FLUSH_BYTES_MAX
    ) {
      const [stream] = this.#starved;
      this.#starved.delete(stream!);
      stream!.writeTo(batch);
    }
    if (turns > 0) this.#owner.answered();
  }
}
