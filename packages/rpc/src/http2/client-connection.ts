import { type Socket } from 'node:net';
import { errorText, RingQueue } from '@raftmq/base';
import { type StreamListener } from '../call.js';
import { ClientCall } from './client-call.js';
import { Connection, type ConnectionHost } from './connection.js';
import { type GrpcStream } from './grpc-stream.js';
import { type HeaderField } from './header-field.js';
import { type ConnectionLimits } from './limits.js';
import { ConnectionError, PREFACE, setting, STREAM_ID_MAX } from './protocol.js';
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
 * its SETTINGS, as many at once as those allow.
 */
export class ClientConnection extends Connection {
  readonly encoder: RequestEncoder;
  #nextStreamId = 1;
  /** The last stream whose HEADERS were sent. */
  #startedId = 0;
  #admitted = 0;
  readonly #postponed = new RingQueue<ClientCall>();
  #opened = false;
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
    this.outbox.hold();
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
    this.ready(call);
    return call;
  }

  /** Ends with its last call. */
  leave(): void {
    this.leaving = true;
    if (this.streams.size > 0) return;
    if (this.#opened) this.sayGoodbye();
    else this.destroy();
  }

  // ---- For calls -------------------------------------------------------------------------------------------------

  /** Whether HEADERS of this call may leave now; if not, it is called when they may. */
  admits(call: ClientCall): boolean {
    if (call.admitted) return true;
    if (this.#postponed.size > 0 || this.#admitted >= this.peerSettings.streamsMax) {
      this.#postponed.push(call);
      return false;
    }
    this.#admit(call);
    return true;
  }

  #admit(call: ClientCall): void {
    call.admitted = true;
    this.#admitted++;
  }

  #admitPostponed(): void {
    while (this.#postponed.size > 0 && this.#admitted < this.peerSettings.streamsMax) {
      const call = this.#postponed.shift()!;
      if (call.over) continue;
      this.#admit(call);
      this.ready(call);
    }
  }

  started(call: ClientCall): void {
    this.#startedId = call.id;
  }

  override remove(stream: GrpcStream): void {
    if (stream.over) return;
    super.remove(stream);
    if (!(stream as ClientCall).admitted) return;
    this.#admitted--;
    this.#admitPostponed();
  }

  // ---- Of the client's end ---------------------------------------------------------------------------------------

  isIdle(streamId: number): boolean {
    return streamId > this.#startedId || streamId % 2 === 0;
  }

  headersReceived(streamId: number, ends: boolean, fields: HeaderField[] | null): void {
    const call = this.streams.get(streamId) as ClientCall | undefined;
    if (call !== undefined) {
      if (call.remoteEnded) this.streamError(streamId, 'STREAM_CLOSED');
      else if (call.headReceived(fields, ends) && ends) this.trailersReceived(call, true);
    } else if (this.isIdle(streamId)) {
      throw new ConnectionError('PROTOCOL_ERROR', 'HEADERS on an idle stream');
    }
    // Otherwise the answer to a call that was given up.
  }

  protected settingsRead(): void {
    this.encoder.resize(this.peerSettings.headerTableBytes);
    this.#opened = true;
    this.outbox.release();
    this.#admitPostponed();
  }

  goAwayReceived(lastStreamId: number): void {
    this.leaving = true;
    for (const stream of [...this.streams.values()]) {
      if (stream.id <= lastStreamId) continue;
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
function socketText(error: Error): string {
  return error instanceof AggregateError
    ? error.errors.map(errorText).join(', ')
    : errorText(error);
}
