import { createServer, type AddressInfo, type Server } from 'node:net';
import { assert, errorText, MqError, systemClock, type Clock, type Logger } from '@raftmq/base';
import { ENTRY_SIZE_BYTES_MAX } from '../core/entry.js';
import { type Message, type NodeId } from '../core/types.js';
import { type Life, type PeerBook } from '../log/peer-book.js';
import { type Transport, type TransportReceiver } from '../ports.js';
import { Acceptor } from './acceptor.js';
import { Connection, dial } from './connection.js';
import { type Hello, type HelloAnswer, type Identity } from './hello.js';
import { PeerLink } from './peer-link.js';
import { newPeerProbe, type PeerProbe } from './probe.js';

export interface TcpTransportOptions {
  readonly cluster: string;
  readonly group: string;
  readonly nodeId: NodeId;
  /** Who this replica is, and what it knows of its peers. Not closed by the transport. */
  readonly book: PeerBook;
  /** Whether this replica has entries. */
  readonly hasLog: () => boolean;
  readonly host: string;
  /** 0 = any free port; see `port`. */
  readonly port: number;
  /** `host:port` of the other replicas' raft ports. Read at each attempt to connect: the caller may change it. */
  readonly peers: ReadonlyMap<NodeId, string>;
  readonly logger: Logger;
  readonly clock?: Clock;
  readonly limits?: Partial<TcpTransportLimits>;
}

export interface TcpTransportLimits {
  /** Pauses between attempts to connect. */
  readonly reconnectMinMs: number;
  readonly reconnectMaxMs: number;
  readonly helloTimeoutMs: number;
  /** A peer without a sign of life for up to twice this long is given up. */
  readonly keepaliveMs: number;
  /** Bytes that may wait for one peer; more is dropped and counted. */
  readonly pendingBytesMax: number;
  /** Entry bytes in one message; more closes its connection. Has to hold the largest entry. */
  readonly bodySizeBytesMax: number;
  /** A message with a term this far above the highest one seen closes its connection. */
  readonly termJumpMax: number;
}

export const tcpTransportLimits: TcpTransportLimits = {
  reconnectMinMs: 50,
  reconnectMaxMs: 500,
  helloTimeoutMs: 2_000,
  keepaliveMs: 2_000,
  pendingBytesMax: 64 * 1024 * 1024,
  bodySizeBytesMax: ENTRY_SIZE_BYTES_MAX + 8 * 1024 * 1024,
  termJumpMax: 2 ** 20,
};

const CONNECTIONS_MAX = 64;

/**
 * Carries raft messages between the replicas of a group: one TCP connection from each replica to each other one, on a
 * port of its own. A peer is connected once it has accepted our hello; a broken connection is reported at once and made anew.
 */
export class TcpTransport implements Transport {
  readonly #options: TcpTransportOptions;
  readonly #limits: TcpTransportLimits;
  readonly #clock: Clock;
  readonly #links = new Map<NodeId, PeerLink>();
  readonly #probes = new Map<NodeId, PeerProbe>();
  readonly #acceptor: Acceptor;
  readonly #server: Server;
  #receiver: TransportReceiver | null = null;
  #termSeen = 0;
  #stopped = false;

  constructor(options: TcpTransportOptions) {
    const { nodeId, logger, book } = options;
    this.#options = options;
    this.#limits = { ...tcpTransportLimits, ...options.limits };
    this.#clock = options.clock ?? systemClock;
    const { helloTimeoutMs, termJumpMax, bodySizeBytesMax, keepaliveMs } = this.#limits;
    const clock = this.#clock;
    this.#acceptor = new Acceptor({
      self: () => this.#self,
      isPeer: (id) => id !== nodeId && options.peers.has(id),
      probeOf: (peer) => this.#probeOf(peer),
      clock,
      logger,
      helloTimeoutMs,
      bodySizeBytesMax,
      termJumpMax,
      termSeen: () => this.#termSeen,
      accepted: (hello) => this.#accepted(hello),
      admitted: (hello, admittedAt) => void book.meet(hello.from, { ...lifeOf(hello), admittedAt }),
      received: (message) => this.#received(message),
    });
    this.#server = createServer({ noDelay: true }, (socket) => {
      const { remoteAddress, remotePort } = socket;
      const connection = new Connection(socket, { clock, keepaliveMs });
      this.#acceptor.accept(connection, `${remoteAddress ?? '?'}:${remotePort ?? 0}`);
    });
    this.#server.maxConnections = CONNECTIONS_MAX;
    book.onAdmitted = () => {
      for (const link of this.#links.values()) link.announce(book.life.admittedAt);
    };
  }

  /** The port that it listens on; only after `start`. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Random for this process; peers tell restarts by it. */
  get session(): string {
    return this.#options.book.life.session;
  }

  get #self(): Identity {
    const { cluster, group, nodeId, book } = this.#options;
    return { cluster, group, nodeId, ...book.life };
  }

  /** Counters per peer. */
  get probes(): ReadonlyMap<NodeId, PeerProbe> {
    return this.#probes;
  }

  /** Connections refused before they could be told to belong to a peer. */
  get refusedStrangers(): number {
    return this.#acceptor.refusedStrangers;
  }

  /** @throws MqError CONFIG_INVALID when the raft port is taken */
  async start(receiver: TransportReceiver): Promise<void> {
    assert(this.#receiver === null, 'a transport is started once');
    this.#receiver = receiver;
    await this.#listen();
    for (const peer of this.#options.peers.keys()) {
      if (peer !== this.#options.nodeId) this.#link(peer).start();
    }
  }

  send(message: Message): void {
    if (message.term > this.#termSeen) this.#termSeen = message.term;
    const link = this.#links.get(message.to);
    assert(link !== undefined, 'messages go to known peers');
    link.send(message);
  }

  isConnected(peer: NodeId): boolean {
    return this.#links.get(peer)?.isConnected ?? false;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const link of this.#links.values()) link.stop();
    this.#acceptor.close();
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #listen(): Promise<void> {
    const { host, port } = this.#options;
    return new Promise((resolve, reject) => {
      const refused = (error: Error): void => {
        const reason = `the raft port ${host}:${port} cannot be opened: ${errorText(error)}`;
        reject(new MqError('CONFIG_INVALID', reason, { cause: error }));
      };
      this.#server.once('error', refused);
      this.#server.listen({ host, port }, () => {
        this.#server.off('error', refused);
        // What can fail later is one accept, for want of file handles; the peer dials again.
        this.#server.on('error', (error) =>
          this.#options.logger.warn({ reason: errorText(error) }, 'a raft connection was lost'),
        );
        resolve();
      });
    });
  }

  #link(peer: NodeId): PeerLink {
    const { reconnectMinMs, reconnectMaxMs, helloTimeoutMs, pendingBytesMax, keepaliveMs } =
      this.#limits;
    const link = new PeerLink({
      self: () => this.#self,
      peer,
      address: () => this.#options.peers.get(peer) ?? null,
      dial: (address) => dial(address, { clock: this.#clock, keepaliveMs }),
      clock: this.#clock,
      logger: this.#options.logger,
      probe: this.#probeOf(peer),
      reconnectMinMs,
      reconnectMaxMs,
      helloTimeoutMs,
      pendingBytesMax,
      connected: (answer) => this.#connected(peer, answer),
      lost: () => {
        if (!this.#stopped) this.#receiver?.peerLost(peer);
      },
    });
    this.#links.set(peer, link);
    return link;
  }

  /** What the answer means for this replica comes first: it may be why it must not say anything more as a leader. */
  #connected(peer: NodeId, { known, hasLog }: HelloAnswer): void {
    if (this.#stopped) return;
    this.#options.book.answered(peer, known, hasLog, (takesPart) => {
      if (!this.#stopped) this.#receiver?.standing(takesPart);
    });
    this.#receiver?.peerConnected(peer);
  }

  async #accepted(hello: Hello): Promise<Pick<HelloAnswer, 'known' | 'hasLog'>> {
    const { book, logger, hasLog } = this.#options;
    const link = this.#links.get(hello.from);
    if (link?.session !== null && link?.session !== hello.session) link?.peerRestarted();
    const met = book.meet(hello.from, lifeOf(hello));
    if (met === null) {
      const { from, incarnation, starts } = hello;
      logger.warn({ peer: from, incarnation, starts }, 'a peer came back without what it had');
    }
    await met;
    return { known: met !== null, hasLog: hasLog() };
  }

  #received(message: Message): void {
    if (this.#stopped) return;
    if (message.term > this.#termSeen) this.#termSeen = message.term;
    this.#receiver?.received(message);
  }

  #probeOf(peer: NodeId): PeerProbe {
    let probe = this.#probes.get(peer);
    if (probe === undefined) {
      probe = newPeerProbe();
      this.#probes.set(peer, probe);
    }
    return probe;
  }
}

function lifeOf({ incarnation, admittedAt, starts, session }: Life): Life {
  return { incarnation, admittedAt, starts, session };
}
