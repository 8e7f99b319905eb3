import { isMqError, LogGate, MqError, type Clock, type Logger } from '@raftmq/base';
import { type Message, type NodeId } from '../core/types.js';
import { decodeMessage } from './codec.js';
import { closeReason, type Connection } from './connection.js';
import { FRAME_PREFIX_SIZE_BYTES, frameKind } from './frame.js';
import {
  commonVersion,
  decodeHello,
  decodeStanding,
  encodeAnswer,
  refusalOf,
  type Hello,
  type HelloAnswer,
  type Identity,
} from './hello.js';
import { type PeerProbe } from './probe.js';

export interface AcceptorOptions {
  readonly self: () => Identity;
  readonly isPeer: (id: NodeId) => boolean;
  readonly probeOf: (peer: NodeId) => PeerProbe;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A caller has to say hello within this time. */
  readonly helloTimeoutMs: number;
  /** A frame with a larger body closes its connection. */
  readonly bodySizeBytesMax: number;
  /** A term this far above everything seen is refused (a forged term would stop all elections). */
  readonly termJumpMax: number;
  /** Highest term that this replica has seen so far. */
  readonly termSeen: () => number;
  /**
   * A peer said hello and is accepted.
   * @returns what to answer, when the peer is on disk; a rejection leaves it without an answer
   */
  readonly accepted: (hello: Hello) => Promise<Pick<HelloAnswer, 'known' | 'hasLog'>>;
  /** A peer was admitted; its life is as in its hello, but for that. */
  readonly admitted: (hello: Hello, admittedAt: number) => void;
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
  readonly #open = new Set<Connection>();
  readonly #live = new Map<NodeId, { readonly session: string; readonly connection: Connection }>();
  /** Connections refused before they could be told to belong to a peer. */
  refusedStrangers = 0;

  constructor(options: AcceptorOptions) {
    this.#options = options;
  }

  /** Takes over a new connection. */
  accept(connection: Connection, peerAddress: string): void {
    let hello: Hello | null = null;
    this.#open.add(connection);
    const cancelTimer = this.#options.clock.setTimer(this.#options.helloTimeoutMs, () => {
      if (hello === null) connection.fail(new MqError('BAD_REQUEST', 'no hello came in time'));
    });
    connection.listen({
      frame: (kind, control, body) => {
        if (hello === null) {
          hello = this.#greet(connection, decodeHello(kind, control));
          cancelTimer();
        } else {
          this.#message(connection, hello, kind, control, body);
        }
      },
      closed: (failure) => {
        cancelTimer();
        this.#open.delete(connection);
        this.#closed(connection, peerAddress, hello, failure);
      },
    });
  }

  /** Ends all connections that were accepted, known or not. */
  close(): void {
    for (const connection of [...this.#open]) connection.close();
  }

  #greet(connection: Connection, hello: Hello): Hello {
    const { isPeer, probeOf } = this.#options;
    const self = this.#options.self();
    let refused = refusalOf(hello, self, isPeer);
    const live = this.#live.get(hello.from);
    if (refused === null && live !== undefined && live.session !== hello.session) {
      refused = `another process with node id ${hello.from} is connected: stop one of them, or wait until its connection is given up`;
    }
    const { incarnation, session } = self;
    const version = refused === null ? commonVersion(hello) : 0;
    const answer = (known: boolean, hasLog: boolean): void => {
      const words = { refused: refused ?? '', incarnation, session, version, known, hasLog };
      connection.send(encodeAnswer(words), []);
    };
    if (refused !== null) {
      answer(false, false);
      if (isPeer(hello.from)) probeOf(hello.from).refused++;
      throw new MqError('PRECONDITION_FAILED', refused);
    }
    this.#options.accepted(hello).then(
      ({ known, hasLog }) => answer(known, hasLog),
      () => connection.close(),
    );
    // The same process called again before we noticed that its first connection broke.
    live?.connection.fail(new MqError('PRECONDITION_FAILED', 'replaced by a newer connection'));
    connection.bodySizeBytesMax = this.#options.bodySizeBytesMax;
    this.#live.set(hello.from, { session: hello.session, connection });
    return hello;
  }

  #message(
    connection: Connection,
    hello: Hello,
    kind: number,
    control: Buffer,
    body: Buffer,
  ): void {
    const { self, probeOf, termSeen, termJumpMax, received, admitted } = this.#options;
    if (this.#live.get(hello.from)?.connection !== connection) return;
    if (kind === frameKind.standing) return admitted(hello, decodeStanding(control));
    const message = decodeMessage(kind, control, body);
    if (message.from !== hello.from || message.to !== self().nodeId) {
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
    probe.receivedBytes += FRAME_PREFIX_SIZE_BYTES + control.length + body.length;
    received(message);
  }

  #closed(
    connection: Connection,
    peerAddress: string,
    hello: Hello | null,
    failure: Error | null,
  ): void {
    if (hello !== null && this.#live.get(hello.from)?.connection === connection)
      this.#live.delete(hello.from);
    // Sockets break; only what the peer did wrong is a reason to raise one's voice.
    if (!isMqError(failure)) return;
    if (hello === null) this.refusedStrangers++;
    else this.#options.probeOf(hello.from).refused++;
    const suppressed = this.#gate.pass(this.#options.clock.monotonicMs());
    if (suppressed === null) return;
    const fields = {
      peerAddress,
      peer: hello?.from ?? null,
      code: failure.code,
      reason: closeReason(failure),
      suppressed,
    };
    this.#options.logger.error(fields, 'refused a raft connection');
  }
}
