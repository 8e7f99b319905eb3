import { errorText, isMqError, MqError, type Clock, type Logger } from '@raftmq/base';
import { LogGate, type RpcStream } from '@raftmq/rpc';
import { type Message, type NodeId } from '../core/types.js';
import { decodeMessage } from './codec.js';
import {
  commonVersion,
  decodeHello,
  encodeAnswer,
  refusalOf,
  type Hello,
  type Identity,
} from './hello.js';
import { type PeerProbe } from './probe.js';

export interface AcceptorOptions {
  readonly self: Identity;
  readonly isPeer: (id: NodeId) => boolean;
  readonly probeOf: (peer: NodeId) => PeerProbe;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A caller has to say hello within this time. */
  readonly helloTimeoutMs: number;
  /** A term this far above everything seen is refused (R: a forged term would stop all elections). */
  readonly termJumpMax: number;
  /** Highest term that this replica has seen so far. */
  readonly termSeen: () => number;
  /** A peer said hello and is accepted. Throws MqError with the reason to refuse it after all. */
  readonly accepted: (hello: Hello) => void;
  readonly received: (message: Message) => void;
}

const LOG_INTERVAL_MS = 10_000;

/**
 * Receives the connections that peers make to this replica: checks the hello before anything else, then every message,
 * and closes a connection at the first thing that is wrong. One connection per peer: while one lives, a second process
 * with the same node id is refused.
 */
export class Acceptor {
  readonly #options: AcceptorOptions;
  readonly #gate = new LogGate(LOG_INTERVAL_MS);
  readonly #live = new Map<
    NodeId,
    { readonly session: string; readonly stream: RpcStream<Buffer, Buffer> }
  >();
  /** Connections refused before they could be told to belong to a peer. */
  refusedStrangers = 0;

  constructor(options: AcceptorOptions) {
    this.#options = options;
  }

  /** Takes over a new stream. */
  accept(stream: RpcStream<Buffer, Buffer>, peerAddress: string): void {
    let hello: Hello | null = null;
    const cancelTimer = this.#options.clock.setTimer(this.#options.helloTimeoutMs, () => {
      if (hello === null)
        this.#refuse(
          stream,
          peerAddress,
          null,
          new MqError('BAD_REQUEST', 'no hello came in time'),
        );
    });
    stream.listen({
      message: (frame) => {
        try {
          if (hello === null) {
            hello = this.#greet(stream, decodeHello(frame));
            cancelTimer();
          } else {
            this.#message(stream, hello, frame);
          }
        } catch (error) {
          if (!isMqError(error)) throw error;
          this.#refuse(stream, peerAddress, hello, error);
        }
      },
      ended: () => stream.end(),
      closed: () => {
        cancelTimer();
        if (hello !== null && this.#live.get(hello.from)?.stream === stream)
          this.#live.delete(hello.from);
      },
    });
  }

  /** Ends all connections that were accepted. */
  close(): void {
    for (const { stream } of this.#live.values()) stream.end();
  }

  #greet(stream: RpcStream<Buffer, Buffer>, hello: Hello): Hello {
    const { self, isPeer, probeOf } = this.#options;
    let refused = refusalOf(hello, self, isPeer);
    const live = this.#live.get(hello.from);
    if (refused === null && live !== undefined && live.session !== hello.session) {
      refused = `another process with node id ${hello.from} is connected: stop one of them, or wait until its connection is given up`;
    }
    if (refused === null) {
      try {
        this.#options.accepted(hello);
      } catch (error) {
        if (!isMqError(error)) throw error;
        refused = error.message;
      }
    }
    const version = refused === null ? commonVersion(hello) : 0;
    stream.write(
      encodeAnswer({
        refused: refused ?? '',
        incarnation: self.incarnation,
        session: self.session,
        version,
      }),
    );
    if (refused !== null) {
      if (isPeer(hello.from)) probeOf(hello.from).refused++;
      throw new MqError('PRECONDITION_FAILED', refused);
    }
    // The same process called again before we noticed that its first connection broke.
    live?.stream.fail(new MqError('PRECONDITION_FAILED', 'replaced by a newer connection'));
    this.#live.set(hello.from, { session: hello.session, stream });
    return hello;
  }

  #message(stream: RpcStream<Buffer, Buffer>, hello: Hello, frame: Buffer): void {
    const { self, probeOf, termSeen, termJumpMax, received } = this.#options;
    if (this.#live.get(hello.from)?.stream !== stream) return;
    const message = decodeMessage(frame);
    if (message.from !== hello.from || message.to !== self.nodeId) {
      throw new MqError(
        'BAD_REQUEST',
        `a message from ${message.from} to ${message.to} on the connection of node ${hello.from}`,
      );
    }
    if (message.term > termSeen() + termJumpMax) {
      throw new MqError(
        'BAD_REQUEST',
        `term ${message.term} is absurd: the highest so far is ${termSeen()}`,
      );
    }
    const probe = probeOf(hello.from);
    probe.receivedMessages++;
    probe.receivedBytes += frame.length;
    received(message);
  }

  #refuse(
    stream: RpcStream<Buffer, Buffer>,
    peerAddress: string,
    hello: Hello | null,
    error: MqError,
  ): void {
    if (hello === null) this.refusedStrangers++;
    else this.#options.probeOf(hello.from).refused++;
    const suppressed = this.#gate.pass(this.#options.clock.monotonicMs());
    if (suppressed !== null) {
      const fields = {
        peerAddress,
        peer: hello?.from ?? null,
        code: error.code,
        reason: errorText(error),
        suppressed,
      };
      this.#options.logger.error(fields, 'refused a raft connection');
    }
    stream.fail(error);
  }
}
