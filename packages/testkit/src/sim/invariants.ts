import { type Entry, type Message, type NodeId, type RoleStatus } from '@raftmq/raft';
import { type DurableView } from './durable-view.js';
import { type LogChain } from './log-chain.js';
import { type World } from './world.js';

/** What invariants may look at on one node. */
export interface WatchedNode {
  readonly id: NodeId;
  readonly role: RoleStatus;
  readonly chain: LogChain;
  readonly durable: DurableView;
  /** Its machine lost power after its log had reached the entry at `index`, with ASYNC_FLUSH: it may be gone. */
  mayHaveForgotten(index: number): boolean;
  /** Entries `fromIndex` .. `throughIndex` of the log as the process sees it. */
  read(fromIndex: number, throughIndex: number): readonly Entry[];
}

/** Something that must hold at all times; each hook is called right when its event happens. */
export interface Invariant {
  readonly name: string;
  sent?(message: Message, from: WatchedNode): void;
  roleChanged?(node: WatchedNode, status: RoleStatus): void;
  /** Before the log takes `entries`. */
  appending?(node: WatchedNode, entries: readonly Entry[]): void;
  /** After the node's chain took one of them. */
  appended?(node: WatchedNode, entry: Entry, chainSum: number): void;
  applied?(node: WatchedNode, entry: Entry, digest: string): void;
  /** A client was told that its value, in this entry, is stored; once for all values of an entry. */
  acked?(node: WatchedNode, entry: Entry): void;
  /** A process came up with the log and applied index it recovered. */
  booted?(node: WatchedNode): void;
}

/** One history of committed entries, as first seen on any node. */
export class CommittedHistory {
  readonly #sums: number[] = [0];
  readonly #digests: string[] = [''];
  readonly #seenInTerm: number[] = [0];

  /** Highest index seen committed anywhere. */
  get lastIndex(): number {
    return this.#sums.length - 1;
  }

  /** The chain sum at a committed index. */
  sumAt(index: number): number {
    return this.#sums[index]!;
  }

  digestAt(index: number): string {
    return this.#digests[index]!;
  }

  /** Last index that was seen committed by a node in a term below `term`. */
  lastIndexBefore(term: number): number {
    let index = this.lastIndex;
    while (index > 0 && this.#seenInTerm[index]! >= term) index--;
    return index;
  }

  /** The last index through which a log holds what was committed. */
  heldBy(chain: LogChain): number {
    let index = Math.min(chain.lastIndex, this.lastIndex);
    while (chain.at(index) !== null && chain.at(index) !== this.#sums[index]) index--;
    return index;
  }

  /** No log holds the entries behind `index` any more: history goes on from there. */
  loseBehind(index: number): void {
    for (const list of [this.#sums, this.#digests, this.#seenInTerm]) list.length = index + 1;
  }

  /** The next index, applied first by a node that is in `term`. */
  add(sum: number, digest: string, term: number): void {
    this.#sums.push(sum);
    this.#digests.push(digest);
    this.#seenInTerm.push(term);
  }
}

/** At most one leader per term, judged by who speaks as leader and who says it leads. */
export class ElectionSafety implements Invariant {
  readonly name = 'election-safety';
  readonly #world: World;
  readonly #leaders = new Map<number, NodeId>();

  constructor(world: World) {
    this.#world = world;
  }

  sent(message: Message): void {
    if (message.kind === 'append-request') this.#leads(message.from, message.term);
  }

  roleChanged(node: WatchedNode, status: RoleStatus): void {
    if (status.role === 'leader') this.#leads(node.id, status.term);
  }

  #leads(id: NodeId, term: number): void {
    const known = this.#leaders.get(term);
    if (known === undefined) this.#leaders.set(term, id);
    else if (known !== id)
      this.#world.violate(this.name, `n${known} and n${id} both lead in term ${term}`);
  }
}

/** A leader adds to its log and takes nothing back. */
export class LeaderAppendOnly implements Invariant {
  readonly name = 'leader-append-only';
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  appending(node: WatchedNode, entries: readonly Entry[]): void {
    const from = entries[0]!.index;
    if (node.role.role !== 'leader' || from > node.chain.lastIndex) return;
    this.#world.violate(
      this.name,
      `n${node.id} leads in term ${node.role.term} and replaces its entries from ${from} (last is ${node.chain.lastIndex})`,
    );
  }
}

/** The same index and term mean the same entry, and the same log before it, on every node and for ever. */
export class LogMatching implements Invariant {
  readonly name = 'log-matching';
  readonly #world: World;
  readonly #sums = new Map<number, number>();

  constructor(world: World) {
    this.#world = world;
  }

  appended(node: WatchedNode, entry: Entry, chainSum: number): void {
    const key = entry.index * 0x10_0000 + entry.term;
    const known = this.#sums.get(key);
    if (known === undefined) this.#sums.set(key, chainSum);
    else if (known !== chainSum) {
      this.#world.violate(
        this.name,
        `entry ${entry.index} of term ${entry.term} on n${node.id} differs, itself or before it, from another replica's`,
      );
    }
  }
}

/**
 * Whoever becomes leader has every entry that was committed in an earlier term; but for those that no log of the group
 * holds any more, where that may be.
 */
export class LeaderCompleteness implements Invariant {
  readonly name = 'leader-completeness';
  readonly #world: World;
  readonly #committed: CommittedHistory;
  readonly #nodes: readonly WatchedNode[];
  /** Told when entries are gone that no log holds any more; null = that must not be. */
  readonly #lost: ((throughIndex: number) => void) | null;

  constructor(
    world: World,
    committed: CommittedHistory,
    nodes: readonly WatchedNode[],
    lost: ((throughIndex: number) => void) | null,
  ) {
    this.#world = world;
    this.#committed = committed;
    this.#nodes = nodes;
    this.#lost = lost;
  }

  roleChanged(node: WatchedNode, status: RoleStatus): void {
    if (status.role !== 'leader' || status.writable) return;
    // A late winner of an old term may miss what a later term committed meanwhile: it can commit nothing itself.
    const index = this.#committed.lastIndexBefore(status.term);
    if (index === 0 || node.chain.at(index) === this.#committed.sumAt(index)) return;
    const held = this.#committed.heldBy(node.chain);
    const best = Math.max(...this.#nodes.map(({ chain }) => this.#committed.heldBy(chain)));
    if (this.#lost !== null && held === best) {
      this.#world.note(node.id, `entries ${held + 1}..${this.#committed.lastIndex} are lost`);
      this.#committed.loseBehind(held);
      return this.#lost(held);
    }
    this.#world.violate(
      this.name,
      `n${node.id} leads in term ${status.term} without the committed entry ${index} (its log ends at ${node.chain.lastIndex})`,
    );
  }
}

/** Index i, once applied anywhere, is the same entry everywhere, and gives the same state. */
export class StateMachineSafety implements Invariant {
  readonly name = 'state-machine-safety';
  readonly #world: World;
  readonly #committed: CommittedHistory;

  constructor(world: World, committed: CommittedHistory) {
    this.#world = world;
    this.#committed = committed;
  }

  applied(node: WatchedNode, entry: Entry, digest: string): void {
    const sum = node.chain.at(entry.index);
    if (entry.index > this.#committed.lastIndex + 1) {
      this.#world.violate(
        this.name,
        `n${node.id} applies ${entry.index}, but ${this.#committed.lastIndex + 1} was never applied`,
      );
    }
    if (entry.index === this.#committed.lastIndex + 1)
      return this.#committed.add(sum ?? 0, digest, node.role.term);
    if (sum !== this.#committed.sumAt(entry.index)) {
      this.#world.violate(
        this.name,
        `n${node.id} applies entry ${entry.index} of term ${entry.term}, which is not the one applied before`,
      );
    }
    const expected = this.#committed.digestAt(entry.index);
    if (digest === expected) return;
    this.#world.violate(
      this.name,
      `n${node.id} applies entry ${entry.index} as everyone, and comes to another state or result: ${digest}, not ${expected}`,
    );
  }
}

/**
 * At the instant of an acknowledgement, a majority of disks would keep the entry through a power cut of all nodes; with
 * ASYNC_FLUSH, a majority has it or had it.
 */
export class AckDurability implements Invariant {
  readonly name = 'ack-durability';
  readonly #world: World;
  readonly #nodes: readonly WatchedNode[];

  constructor(world: World, nodes: readonly WatchedNode[]) {
    this.#world = world;
    this.#nodes = nodes;
  }

  acked(_node: WatchedNode, entry: Entry): void {
    const holders = this.#nodes
      .filter((node) => node.durable.holds(entry) || node.mayHaveForgotten(entry.index))
      .map((node) => node.id);
    if (holders.length * 2 > this.#nodes.length) return;
    this.#world.violate(
      this.name,
      `entry ${entry.index} of term ${entry.term} is acknowledged, but durable only on [${holders.join(', ')}]`,
    );
  }
}

/** No vote leaves before it is durable, and no acknowledgement before its entries are. */
export class EffectsAfterSync implements Invariant {
  readonly name = 'effects-after-sync';
  readonly #world: World;
  /** Per node: entries through here were found durable since the log last changed there. */
  readonly #verified = new Map<NodeId, number>();

  constructor(world: World) {
    this.#world = world;
  }

  sent(message: Message, from: WatchedNode): void {
    if (message.kind === 'vote-response' && message.granted && !message.pre)
      this.#voted(from, message.term, message.to);
    if (message.kind === 'vote-request' && !message.pre) this.#voted(from, message.term, from.id);
    if (message.kind === 'append-response' && message.success)
      this.#acknowledged(from, message.matchIndex);
  }

  appending(node: WatchedNode, entries: readonly Entry[]): void {
    this.#lower(node.id, entries[0]!.index - 1);
  }

  booted(node: WatchedNode): void {
    this.#verified.set(node.id, 0);
  }

  #lower(id: NodeId, throughIndex: number): void {
    const verified = this.#verified.get(id) ?? 0;
    if (verified > throughIndex) this.#verified.set(id, throughIndex);
  }

  #voted(node: WatchedNode, term: number, candidate: NodeId): void {
    const durable = node.durable.vote();
    if (durable.term > term || (durable.term === term && durable.votedFor === candidate)) return;
    this.#world.violate(
      this.name,
      `n${node.id} votes for n${candidate} in term ${term}, but its disk has term ${durable.term}, vote ${durable.votedFor ?? 'none'}`,
    );
  }

  #acknowledged(node: WatchedNode, matchIndex: number): void {
    const verified = this.#verified.get(node.id) ?? 0;
    if (matchIndex <= verified) return;
    for (const entry of node.read(verified + 1, matchIndex)) {
      if (node.durable.holds(entry)) continue;
      this.#world.violate(
        this.name,
        `n${node.id} acknowledges entries through ${matchIndex}, but entry ${entry.index} is not on its platter`,
      );
    }
    this.#verified.set(node.id, matchIndex);
  }
}

/** All of them, in the order in which they are asked. */
export function createInvariants(
  world: World,
  nodes: readonly WatchedNode[],
  committed: CommittedHistory,
  lost: ((throughIndex: number) => void) | null,
): readonly Invariant[] {
  return [
    new ElectionSafety(world),
    new LeaderAppendOnly(world),
    new LogMatching(world),
    new LeaderCompleteness(world, committed, nodes, lost),
    new StateMachineSafety(world, committed),
    new AckDurability(world, nodes),
    new EffectsAfterSync(world),
  ];
}
