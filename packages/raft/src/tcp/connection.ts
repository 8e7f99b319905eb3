import { connect, type Socket } from 'node:net';
import { errorText, isMqError, MqError, type CancelTimer, type Clock } from '@raftmq/base';
import { type Entry } from '../core/entry.js';
import {
  ControlReader,
  frameKind,
  newFrame,
  sealFrame,
  textSizeBytes,
  writeText,
} from './frame.js';
import { FrameDecoder } from './frame-decoder.js';

export interface ConnectionOptions {
  readonly clock: Clock;
  /** A peer without a sign of life for up to twice this long is given up; one is sent twice in this time. */
  readonly keepaliveMs: number;
}

export interface ConnectionListener {
  /**
   * A frame arrived. `control` is reused afterwards, `body` belongs to the callee. What it throws as MqError closes the
   * connection with {@link Connection.fail}.
   */
  frame(kind: number, control: Buffer, body: Buffer): void;
  /** Called once. @param failure null when the peer ended it without giving a reason */
  closed(failure: Error | null): void;
}

const GOODBYE_TEXT_MAX = 1000;
/** How long the last frames get to leave. */
const LINGER_MS = 200;
/** Checks in a row without a byte from the peer; one stands for an own event loop that stood still. */
const SILENT_CHECKS_MAX = 3;
/** Entries below this size are joined with the head: a copy costs less than a buffer of its own in a system call. */
const JOIN_BELOW_BYTES = 4096;
const ALIVE = sealFrame(newFrame(frameKind.alive, 0, 0));

/**
 * One TCP connection between two replicas, carrying frames in both directions. It never waits for the peer: what the
 * socket does not take at once is counted in `pendingBytes`, and the caller stops in time.
 */
export class Connection {
  readonly #socket: Socket;
  readonly #decoder: FrameDecoder;
  readonly #options: ConnectionOptions;
  #listener: ConnectionListener | null = null;
  #closed = false;
  /** Why the peer closes, as its goodbye told. */
  #reason: MqError | null = null;
  #heard = false;
  #silentChecks = 0;
  #cancelTimer: CancelTimer = () => undefined;

  constructor(socket: Socket, options: ConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#decoder = new FrameDecoder((kind, control, body) => this.#frame(kind, control, body));
    socket.on('data', (chunk) => this.#data(chunk));
    socket.on('error', (error) => this.#end(this.#reason ?? error));
    socket.on('end', () => this.#end(this.#reason));
    socket.on('close', () => this.#end(this.#reason));
  }

  /** Starts to pass frames on. */
  listen(listener: ConnectionListener): void {
    this.#listener = listener;
    this.#arm();
  }

  /** Bytes that were handed over and not taken by the socket yet. */
  get pendingBytes(): number {
    return this.#socket.writableLength;
  }

  /** Largest body that is accepted; 0 in the beginning. */
  set bodySizeBytesMax(sizeBytes: number) {
    this.#decoder.bodySizeBytesMax = sizeBytes;
  }

  /** Sends a head and the entries behind it. Their frames are not copied, unless they are small. */
  send(head: Buffer, entries: readonly Entry[]): void {
    const socket = this.#socket;
    if (this.#closed) return;
    if (entries.length === 0) {
      socket.write(head);
      return;
    }
    socket.cork();
    let small: Buffer[] = [head];
    for (const { frame } of entries) {
      if (frame.length < JOIN_BELOW_BYTES) {
        small.push(frame);
        continue;
      }
      writeJoined(socket, small);
      small = [];
      socket.write(frame);
    }
    writeJoined(socket, small);
    socket.uncork();
  }

  /** Closes the connection because of something the peer did, and tells it why. */
  fail(error: MqError): void {
    if (this.#closed) return;
    const text = error.message.slice(0, GOODBYE_TEXT_MAX);
    const frame = newFrame(frameKind.goodbye, textSizeBytes(error.code) + textSizeBytes(text), 0);
    writeText(frame, text, writeText(frame, error.code, 16));
    this.#socket.write(sealFrame(frame));
    this.close(error);
  }

  /** Closes the connection; what was handed over before has a moment to leave. */
  close(failure: Error | null = null): void {
    const socket = this.#socket;
    this.#end(failure);
    socket.end();
    // What still arrives is passed over, so that the peer reads our last frames before the connection is reset.
    this.#cancelTimer = this.#options.clock.setTimer(LINGER_MS, () => socket.destroy());
  }

  /** Gives the socket up at once. */
  destroy(): void {
    this.#end(null);
    this.#socket.destroy();
  }

  #data(chunk: Buffer): void {
    this.#heard = true;
    try {
      this.#decoder.push(chunk);
    } catch (error) {
      if (!isMqError(error)) throw error;
      this.fail(error);
    }
  }

  #frame(kind: number, control: Buffer, body: Buffer): void {
    if (kind === frameKind.alive) return;
    if (kind === frameKind.goodbye) {
      const reader = new ControlReader(control);
      this.#reason = new MqError('PRECONDITION_FAILED', `${reader.text()}: ${reader.text()}`);
      return;
    }
    this.#listener?.frame(kind, control, body);
  }

  #end(failure: Error | null): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelTimer();
    this.#decoder.end();
    this.#listener?.closed(failure);
  }

  #arm(): void {
    if (this.#closed) return;
    const { clock, keepaliveMs } = this.#options;
    // All connections of a process look at the same moments: an idle one wakes up once for them, not once for each.
    const intervalMs = keepaliveMs / 2;
    const nowMs = clock.monotonicMs();
    const checkAtMs = (Math.round(nowMs / intervalMs) + 1) * intervalMs;
    this.#cancelTimer = clock.setTimer(Math.ceil(checkAtMs - nowMs), () => this.#check());
  }

  #check(): void {
    this.#silentChecks = this.#heard ? 0 : this.#silentChecks + 1;
    this.#heard = false;
    if (this.#silentChecks >= SILENT_CHECKS_MAX) {
      this.#end(new MqError('REQUEST_TIMEOUT', 'the peer gives no sign of life'));
      this.#socket.destroy();
      return;
    }
    if (this.pendingBytes === 0) this.#socket.write(ALIVE);
    this.#arm();
  }
}

/** Dials a peer. */
export function dial(address: string, options: ConnectionOptions): Connection {
  const { host, port } = splitAddress(address);
  return new Connection(connect({ host, port, noDelay: true }), options);
}

/** @param address `host:port`, the host in brackets when it has colons of its own */
function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  return { host, port: Number(address.slice(colon + 1)) };
}

function writeJoined(socket: Socket, buffers: readonly Buffer[]): void {
  if (buffers.length === 0) return;
  socket.write(buffers.length === 1 ? buffers[0]! : Buffer.concat(buffers));
}

/** What a closed connection says in a log line. */
export function closeReason(failure: Error | null): string {
  return failure === null ? 'ended by the peer' : errorText(failure);
}
