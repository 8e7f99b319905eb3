import { type Socket } from 'node:net';
import { errorText } from '@raftmq/base';
import { type StreamListener } from '../call.js';
import { ClientCall } from './client-call.js';
import { Connection, type ConnectionHost } from './connection.js';
import { type GrpcStream } from './grpc-stream.js';
import { type HeaderField } from './header-field.js';
import { type ConnectionLimits } from './limits.js';
import { resetFrame } from './control-frames.js';
import { type MessageSender } from './message-sender.js';
import { ConnectionError, errorCode, PREFACE, setting, STREAM_ID_MAX } from './protocol.js';
import { RequestEncoder, type RequestHeaders } from './request-encoder.js';

const CHECK_THE_PORT = 'check the port, and whether TLS is used there';

/** What the two sides of a connection are called. */
export interface ServerAddress {
  /** `host:port`. */
  readonly address: string;
  readonly scheme: 'http' | 'https';
}

/**
 * A connection as its client has it. It takes calls before the socket is connected; they leave when the server has said
 * its SETTINGS, as many at once as those allow, in the order of their ids:
 *
 *   over … | admitted: HEADERS sent, or in the outbox | `#waitingId`: waiting … | `#nextStreamId`
 */
export class ClientConnection extends Connection {
  readonly encoder: RequestEncoder;
  #nextStreamId = 1;
  /** Calls from here on wait until the server takes another; some of them may be over. */
  #waitingId = 1;
  /** The last stream whose HEADERS were sent. */
  #startedId = 0;
  /** Open calls before `#waitingId`. */
  #admitted = 0;
  #opened = false;
  /** The server has said its SETTINGS, and no GOAWAY. */
  #takesCalls = false;
  readonly #gone: (reason: string) => void;
  #isGone = false;

  /** @param gone hears why, once, when it is of no use any more */
  constructor(
    socket: Socket,
    server: ServerAddress,
    host: ConnectionHost,
    limits: ConnectionLimits,
    nowMs: number,
    gone: (reason: string) => void,
  ) {
    super(socket, server.address, host, limits, nowMs);
    this.#gone = gone;
    this.encoder = new RequestEncoder(server.scheme, server.address);
    this.open(PREFACE, [[setting.ENABLE_PUSH, 0]]);
  }

  /** Whether the server has answered. */
  get opened(): boolean {
    return this.#opened;
  }

  /** Whether calls may begin. */
  get usable(): boolean {
    return !this.leaving && !this.ended;
  }

  /** Begins a call; see {@link ClientCall}. Only while `usable`. */
  begin(
    path: string,
    headers: RequestHeaders,
    deadlineAtMs: number,
    listener: StreamListener<Buffer> | null,
  ): ClientCall {
    const call = new ClientCall(this, this.#nextStreamId, path, headers, deadlineAtMs, listener);
    this.#nextStreamId += 2;
    // The next connection begins with small numbers again.
    if (this.#nextStreamId > STREAM_ID_MAX) this.leaving = true;
    this.add(call);
    this.#admit();
    return call;
  }

  /** Ends with its last call. */
  leave(): void {
    this.leaving = true;
    if (this.streams.size > 0) return;
    if (this.#opened) this.sayGoodbye();
    else this.destroy();
  }

  /** A connection without calls lets its process end. */
  protected override add(call: GrpcStream): void {
    if (this.streams.size === 0) this.keepsProcess(true);
    super.add(call);
  }

  // ---- For calls -------------------------------------------------------------------------------------------------

  /** Lets as many calls that wait begin as the server takes. */
  #admit(): void {
    if (!this.#takesCalls) return;
    while (this.#waitingId < this.#nextStreamId && this.#admitted < this.peerSettings.streamsMax) {
      const call = this.streams.get(this.#waitingId) as ClientCall | undefined;
      this.#waitingId += 2;
      if (call === undefined) continue;
      this.#admitted++;
      this.ready(call);
    }
  }

  /** Calls that wait have their turn later: HEADERS leave in the order of ids. */
  override ready(call: MessageSender): void {
    if (call.id < this.#waitingId) super.ready(call);
  }

  /** Ends a call that is not wanted any more. */
  abandon(call: ClientCall): void {
    this.outbox.control(resetFrame(call.id, errorCode.CANCEL));
    this.remove(call);
  }

  started(call: ClientCall): void {
    this.#startedId = call.id;
  }

  /** A listener failed when it heard of the end of its call: nobody is left to be told. */
  listenerFailed(error: unknown): void {
    this.host.crashed(this, error);
  }

  override remove(stream: GrpcStream): void {
    if (stream.over) return;
    super.remove(stream);
    if (this.streams.size === 0) this.keepsProcess(false);
    if (stream.id >= this.#waitingId) return;
    this.#admitted--;
    this.#admit();
  }

  // ---- Of the client's end ---------------------------------------------------------------------------------------

  isIdle(streamId: number): boolean {
    return streamId > this.#startedId || streamId % 2 === 0;
  }

  /** A call that waits is none that the server can know of. */
  override stream(streamId: number): GrpcStream | null {
    return this.isIdle(streamId) ? null : super.stream(streamId);
  }

  /** Calls are given up at any time, and many at once: whatever comes for one that is over was under way. */
  wasReset(): boolean {
    return true;
  }

  protected passOver(): void {
    // Nothing to remember.
  }

  headersReceived(streamId: number, ends: boolean, fields: HeaderField[] | null): void {
    const call = this.stream(streamId) as ClientCall | null;
    if (call !== null) {
      if (call.remoteEnded) this.streamError(streamId, 'STREAM_CLOSED');
      else if (call.headReceived(fields, ends) && ends) this.trailersReceived(call, true);
    } else if (this.isIdle(streamId)) {
      throw new ConnectionError('PROTOCOL_ERROR', 'HEADERS on an idle stream');
    }
    // Otherwise the answer to a call that was given up.
  }

  protected settingsRead(): void {
    if (this.peerSettings.pushes) {
      throw new ConnectionError('PROTOCOL_ERROR', 'ENABLE_PUSH from a server');
    }
    this.encoder.resize(this.peerSettings.headerTableBytes);
    if (!this.#opened) this.#takesCalls = true;
    this.#opened = true;
    this.#admit();
  }

  goAwayReceived(lastStreamId: number): void {
    this.leaving = true;
    // Nothing begins here any more; what is in the outbox is as good as sent.
    this.#takesCalls = false;
    const lastId = Math.min(lastStreamId, this.#waitingId - 1);
    for (const stream of [...this.streams.values()]) {
      if (stream.id <= lastId) continue;
      this.remove(stream);
      (stream as ClientCall).passedOver();
    }
    if (this.streams.size === 0) this.hangUp();
  }

  protected override lost(reason: string): void {
    if (!this.#isGone) {
      this.#isGone = true;
      // Before calls hear of it: they may be made again at once.
      this.#gone(reason);
    }
    super.lost(reason);
  }

  protected lossReason(orderly: boolean): string {
    const { socketError } = this;
    if (socketError !== null) return this.#broken(socketText(socketError));
    if (!orderly) return this.#broken('it gave no sign of life');
    return this.#broken(this.#opened ? 'it hung up' : `it hung up; ${CHECK_THE_PORT}`);
  }

  protected violationReason({ message }: ConnectionError): string {
    return this.#broken(
      this.#opened
        ? `it broke a rule of HTTP/2, ${message}`
        : `it does not speak HTTP/2 (${message}); ${CHECK_THE_PORT}`,
    );
  }

  #broken(how: string): string {
    const what = this.#opened ? 'the connection broke to' : 'cannot connect to';
    return `${what} ${this.peer}: ${how}`;
  }

  protected isComplete(stream: GrpcStream): boolean {
    return stream.remoteEnded;
  }

  protected get mayAsk(): boolean {
    return this.streams.size > 0;
  }
}

/** One host may have several addresses, each with its own failure. */
function socketText(error: Error & { readonly errors?: unknown }): string {
  return Array.isArray(error.errors) ? error.errors.map(errorText).join(', ') : errorText(error);
}
