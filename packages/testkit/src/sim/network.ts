import { type Prng } from '@raftmq/base';
import { type Message, type NodeId, type Transport, type TransportReceiver } from '@raftmq/raft';
import { type Life } from './event-heap.js';
import { type World } from './world.js';

/** How the network behaves; drawn once per seed. */
export interface NetworkTimes {
  readonly latencyMinMs: number;
  /** Mean of what comes on top, exponentially distributed. */
  readonly latencyMeanMs: number;
  /** Share of messages that vanish on an open link. */
  readonly loss: number;
  /** Share of messages that arrive twice; with it, and with reordering, links are no streams any more. */
  readonly duplicates: number;
  readonly reorders: boolean;
  readonly reconnectMs: number;
}

/** What one direction between two nodes does: carry, swallow, or keep back until it is open again. */
export type LinkMode = 'open' | 'drop' | 'hold';

const HELD_MAX = 200;

interface Link {
  mode: LinkMode;
  /** Connected, as far as the sender knows. */
  up: boolean;
  /** Grows with each connection: what was sent in an earlier one never arrives. */
  session: number;
  lastArrivalMs: number;
  readonly held: Message[];
}

interface Endpoint {
  readonly life: Life;
  readonly receiver: TransportReceiver;
}

/**
 * The network between the nodes: one stream per direction while a connection lasts, in order unless the seed says
 * otherwise. Connections come up by themselves between running nodes whose links are open both ways.
 */
export class SimNetwork {
  /** Called for every message that leaves a node, before anything else happens to it. */
  onSend: (message: Message) => void = () => undefined;
  readonly #world: World;
  readonly #random: Prng;
  #times: NetworkTimes;
  readonly #nodes: readonly NodeId[];
  readonly #links: Link[];
  readonly #endpoints = new Map<NodeId, Endpoint>();

  constructor(world: World, random: Prng, times: NetworkTimes, nodes: readonly NodeId[]) {
    this.#world = world;
    this.#random = random;
    this.#times = times;
    this.#nodes = nodes;
    this.#links = nodes.flatMap(() =>
      nodes.map((): Link => ({ mode: 'open', up: false, session: 0, lastArrivalMs: 0, held: [] })),
    );
  }

  /** The transport of the process `life` on its node. */
  transport(life: Life): Transport {
    const id = life.node;
    return {
      start: async (receiver) => {
        this.#endpoints.set(id, { life, receiver });
        for (const peer of this.#nodes) if (peer !== id) this.#connectSoon(id, peer);
      },
      send: (message) => this.#send(message),
      isConnected: (peer) => this.#link(id, peer).up,
      stop: async () => this.nodeDown(id, true),
    };
  }

  /**
   * A process is gone.
   * @param noticed whether its sockets were closed, so that peers hear of it at once; a power cut is silent
   */
  nodeDown(id: NodeId, noticed: boolean): void {
    if (!this.#endpoints.delete(id)) return;
    for (const peer of this.#nodes) {
      if (peer === id) continue;
      this.#close(peer, id);
      this.#link(id, peer).up = false;
      // What it had sent before may still arrive, until the peer sees the end of the stream; or die with the machine.
      if (noticed) this.#loseSoon(peer, id);
      else if (this.#random.chance(0.5)) this.#link(id, peer).session++;
    }
  }

  setMode(from: NodeId, to: NodeId, mode: LinkMode): void {
    const link = this.#link(from, to);
    link.mode = mode;
    if (mode !== 'open') return;
    const held = link.held.splice(0);
    for (const message of held) this.#carry(link, message);
  }

  /** Breaks the connection between two nodes, both ways; both notice, and connect again when they can. */
  reset(a: NodeId, b: NodeId): void {
    if (!this.#endpoints.has(a) || !this.#endpoints.has(b)) return;
    if (!this.#link(a, b).up && !this.#link(b, a).up) return;
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      this.#close(from, to);
      this.#loseSoon(from, to);
    }
    this.#connectSoon(a, b);
  }

  /** Opens every link, and from now on nothing is lost, doubled or reordered. */
  heal(): void {
    this.#times = { ...this.#times, loss: 0, duplicates: 0, reorders: false };
    for (const from of this.#nodes)
      for (const to of this.#nodes) if (from !== to) this.setMode(from, to, 'open');
  }

  #link(from: NodeId, to: NodeId): Link {
    return this.#links[from * this.#nodes.length + to]!;
  }

  #close(from: NodeId, to: NodeId): void {
    const link = this.#link(from, to);
    link.up = false;
    link.session++;
    link.held.length = 0;
  }

  #loseSoon(at: NodeId, peer: NodeId): void {
    const endpoint = this.#endpoints.get(at);
    if (endpoint === undefined) return;
    const delayMs = this.#random.next() * this.#times.reconnectMs;
    this.#world.schedule(delayMs, endpoint.life, `lost n${peer}`, () => {
      // Already connected again: the loss was told together with it.
      if (this.#link(at, peer).up) return;
      this.#link(peer, at).session++;
      endpoint.receiver.peerLost(peer);
    });
  }

  #connectSoon(a: NodeId, b: NodeId): void {
    const endpoint = this.#endpoints.get(a);
    if (endpoint === undefined) return;
    const delayMs = this.#times.reconnectMs * (0.5 + this.#random.next());
    this.#world.schedule(delayMs, endpoint.life, `connect n${b}`, () => this.#connect(a, b));
  }

  #connect(a: NodeId, b: NodeId): void {
    const [here, there] = [this.#endpoints.get(a), this.#endpoints.get(b)];
    // A peer that is down connects by itself when it starts.
    if (here === undefined || there === undefined) return;
    const [out, back] = [this.#link(a, b), this.#link(b, a)];
    if (out.up && back.up) return;
    if (out.mode !== 'open' || back.mode !== 'open') return this.#connectSoon(a, b);
    for (const [link, endpoint, peer] of [
      [out, here, b],
      [back, there, a],
    ] as const) {
      if (link.up) this.#inform(endpoint, (receiver) => receiver.peerLost(peer));
      link.up = true;
      link.session++;
      link.held.length = 0;
      link.lastArrivalMs = this.#world.nowMs;
      this.#inform(endpoint, (receiver) => receiver.peerConnected(peer));
    }
  }

  #inform(endpoint: Endpoint, tell: (receiver: TransportReceiver) => void): void {
    this.#world.schedule(0, endpoint.life, 'connection', () => tell(endpoint.receiver));
  }

  #send(message: Message): void {
    this.onSend(message);
    const link = this.#link(message.from, message.to);
    if (!link.up || link.mode === 'drop' || this.#random.chance(this.#times.loss)) return;
    if (link.mode === 'hold') {
      if (link.held.length < HELD_MAX) link.held.push(message);
      return;
    }
    this.#carry(link, message);
    if (this.#times.duplicates > 0 && this.#random.chance(this.#times.duplicates))
      this.#carry(link, message);
  }

  #carry(link: Link, message: Message): void {
    const { latencyMinMs, latencyMeanMs, reorders } = this.#times;
    const latencyMs = latencyMinMs - latencyMeanMs * Math.log(1 - this.#random.next());
    let arrivesMs = this.#world.nowMs + latencyMs;
    if (!reorders) {
      arrivesMs = Math.max(arrivesMs, link.lastArrivalMs);
      link.lastArrivalMs = arrivesMs;
    }
    const endpoint = this.#endpoints.get(message.to);
    if (endpoint === undefined) return;
    const { session } = link;
    const deliver = (): void => {
      if (link.session === session && link.mode !== 'drop') endpoint.receiver.received(message);
    };
    this.#world.schedule(
      arrivesMs - this.#world.nowMs,
      endpoint.life,
      message.kind,
      deliver,
      markOf(message),
    );
  }
}

/** What tells two messages apart, in 32 bits, for the rolling hash. */
function markOf(message: Message): number {
  let mark = message.from * 31 + message.to + message.term * 1009;
  if (message.kind === 'append-request')
    mark += message.prevIndex * 7919 + message.commitIndex * 104_729 + message.entries.length;
  if (message.kind === 'append-response')
    mark += message.matchIndex * 7919 + (message.success ? 1 : 0);
  return mark | 0;
}
