import { assert, createPrng } from '@raftmq/base';
import { type RaftCoreConfig } from '../config.js';
import { ENTRY_HEADER_SIZE_BYTES, entryType, sealEntry, type Entry } from '../entry.js';
import { RaftCore } from '../raft-core.js';
import {
  type Effects,
  type AppendResponse,
  type HardState,
  type Input,
  type Message,
  type NodeId,
} from '../types.js';
import { History } from './history.js';
import { MemoryLog } from './memory-log.js';

/** Disk work of one step: nothing in it survives a crash before it is synced. */
interface DiskWork {
  readonly hardState: HardState | null;
  readonly appends: readonly Entry[];
  readonly term: number;
  readonly messages: readonly Message[];
}

/** One replica: what is on its disk, and, while it runs, the core with its log. */
export interface TestNode {
  readonly id: NodeId;
  disk: { hardState: HardState; log: MemoryLog; takesPart: boolean; forgetful: boolean };
  log: MemoryLog;
  /** What was on the disk that it lost, until it is admitted: its acknowledgements may still have been counted. */
  lost: MemoryLog | null;
  core: RaftCore | null;
  work: DiskWork[];
}

/** A replica as a test wants to find it: the term of each entry, and its term and vote. */
export interface NodeSetup {
  readonly terms: readonly number[];
  readonly term?: number;
  readonly votedFor?: NodeId;
  readonly appliedIndex?: number;
}

/**
 * A group of cores without a driver: the test decides which message arrives, which sync ends, and when time passes.
 * Every step is checked against {@link History}: a violated promise fails the test wherever it happens.
 */
export class Cluster {
  readonly nodes = new Map<NodeId, TestNode>();
  readonly network: Message[] = [];
  readonly history = new History();
  readonly config: RaftCoreConfig;
  /** Called for what a reader wants to see: role changes, appends, commits, reads, deliveries. */
  readonly trace: (line: string, detail: 'event' | 'message') => void;
  readonly seed: number;
  readonly #cuts = new Set<string>();
  readonly #readsAsked = new Map<number, number>();
  nowMs = 0;
  /** Tails cut so far. */
  cutCount = 0;
  #starts = 0;

  constructor(
    config: RaftCoreConfig,
    setups: ReadonlyMap<NodeId, NodeSetup>,
    seed: number,
    trace: (line: string, detail: 'event' | 'message') => void,
  ) {
    this.config = config;
    this.seed = seed;
    this.trace = trace;
    for (const [id, setup] of setups) {
      const log = new MemoryLog(entriesOfTerms(setup.terms));
      const term = setup.term ?? setup.terms.at(-1) ?? 0;
      const hardState = { term, votedFor: setup.votedFor ?? null };
      const disk = { hardState, log, takesPart: true, forgetful: false };
      this.nodes.set(id, { id, disk, log, lost: null, core: null, work: [] });
    }
    for (const [id, setup] of setups) this.start(id, setup.appliedIndex ?? 0);
  }

  node(id: NodeId): TestNode {
    const node = this.nodes.get(id);
    assert(node !== undefined, `there is a node ${id}`);
    return node;
  }

  core(id: NodeId): RaftCore {
    const { core } = this.node(id);
    assert(core !== null, `node ${id} runs`);
    return core;
  }

  isUp(id: NodeId): boolean {
    return this.node(id).core !== null;
  }

  /** Starts a node from its disk. */
  start(id: NodeId, appliedIndex = 0): void {
    const node = this.node(id);
    assert(node.core === null, 'a node is started once');
    node.log = node.disk.log.clone();
    node.work = [];
    node.core = new RaftCore({
      id,
      voters: [...this.nodes.keys()],
      config: this.config,
      log: node.log,
      hardState: node.disk.hardState,
      random: createPrng(this.seed).fork(`node ${id} start ${this.#starts++}`),
      appliedIndex,
      takesPart: node.disk.takesPart,
      forgetful: node.disk.forgetful,
    });
  }

  /**
   * Kills a node: work that is not synced, and messages from it that are under way, are gone.
   * @param keepsAppends the entries of unfinished work reached the disk all the same, but its terms and votes did not
   */
  crash(id: NodeId, keepsAppends = false): void {
    const node = this.node(id);
    if (keepsAppends) for (const { appends } of node.work) node.disk.log.append(appends);
    node.core = null;
    node.work = [];
    this.dropMessages((message) => message.from === id || message.to === id);
    // Alone, it led before its term was on disk. Nobody saw that, so it may use the same term once more.
    if (this.nodes.size === 1) this.history.forgetUncommitted();
  }

  /** A dead node loses everything on its disk; its peers know it as another one, so it starts recovering. */
  wipe(id: NodeId): void {
    const node = this.node(id);
    assert(node.core === null, 'a disk is lost while its node is down');
    const hardState = { term: 0, votedFor: null };
    node.lost ??= node.disk.log;
    node.disk = { hardState, log: new MemoryLog(), takesPart: false, forgetful: false };
  }

  /** The machine of a dead node lost power: its term and vote are there, its log ends behind `throughIndex`. */
  losePower(id: NodeId, throughIndex: number): void {
    const node = this.node(id);
    assert(node.core === null, 'power is lost while its node is down');
    if (node.lost === null || node.disk.takesPart) node.lost = node.disk.log.clone();
    node.disk.log.cutBehind(throughIndex);
    node.disk.forgetful = true;
  }

  cut(from: NodeId, to: NodeId): void {
    this.#cuts.add(`${from}>${to}`);
  }

  heal(): void {
    this.#cuts.clear();
  }

  isLinked(from: NodeId, to: NodeId): boolean {
    return !this.#cuts.has(`${from}>${to}`);
  }

  dropMessages(which: (message: Message) => boolean): number {
    let dropped = 0;
    for (let i = this.network.length - 1; i >= 0; i--) {
      if (!which(this.network[i]!)) continue;
      this.network.splice(i, 1);
      dropped++;
    }
    return dropped;
  }

  /** Hands over the message at `at` of the network; over a cut link, or to a dead node, it is lost. */
  deliver(at: number): void {
    const [message] = this.network.splice(at, 1);
    assert(message !== undefined, 'there is a message to deliver');
    this.receive(message);
  }

  receive(message: Message): void {
    if (!this.isLinked(message.from, message.to) || !this.isUp(message.to)) return;
    this.trace(describe(message), 'message');
    this.step(message.to, { kind: 'message', message });
  }

  /** Ends the oldest disk work of a node: it becomes durable, its messages leave, the core hears of it. */
  sync(id: NodeId): boolean {
    const node = this.node(id);
    const work = node.work.shift();
    if (work === undefined) return false;
    if (work.hardState !== null) node.disk.hardState = work.hardState;
    node.disk.log.append(work.appends);
    for (const message of work.messages) this.#leave(node, message);
    const last = work.appends.at(-1);
    if (last !== undefined) {
      this.step(id, { kind: 'synced', throughIndex: last.index, term: work.term });
    }
    return true;
  }

  /** A linearizable read under a number of its own. */
  read(id: NodeId, readId: number): void {
    this.#readsAsked.set(readId, this.history.committedIndex);
    this.step(id, { kind: 'read', id: readId });
  }

  /** Forgets the beginning of a node's log, as retention does. */
  compact(id: NodeId, throughIndex: number): void {
    const node = this.node(id);
    node.disk.log.compactThrough(throughIndex);
    node.log.compactThrough(throughIndex);
  }

  step(id: NodeId, input: Input): void {
    const node = this.node(id);
    const core = this.core(id);
    const before = {
      role: core.role,
      term: core.term,
      lastIndex: core.lastIndex,
      commit: core.commitIndex,
    };
    const early = input.kind === 'tick' && this.nowMs < core.deadlineMs;
    const effects = core.step(input, this.nowMs, 1_000_000 + this.nowMs);
    assert(!early || isEmpty(effects), 'a tick before its deadline finds nothing to do');
    if (effects.roleChanged) {
      const from = before.role === core.role ? core.role : `${before.role} -> ${core.role}`;
      this.trace(`n${id}: ${from} term=${core.term} leader=${name(core.leaderId)}`, 'event');
    }
    this.#traceAppends(id, effects.appends, before.lastIndex);
    const first = effects.appends[0];
    if (first !== undefined && first.index <= before.lastIndex) {
      assert(node.log.termAt(first.index) !== first.term, 'no matching entry is cut (R03, R16)');
      this.cutCount++;
    }
    node.log.append(effects.appends);
    if (effects.hardState !== null || effects.appends.length > 0) {
      const { hardState, appends, sendAfterSync } = effects;
      node.work.push({ hardState, appends, term: core.term, messages: sendAfterSync });
    } else {
      assert(effects.sendAfterSync.length === 0, 'nothing waits for a sync that never comes');
    }
    for (const message of effects.sendNow) this.#leave(node, message);
    this.history.stepped(core, node.log, this.#disks());
    if (effects.admittedAt !== null) {
      node.disk.takesPart = true;
      node.lost = null;
      this.trace(`n${id}: admitted at ${effects.admittedAt}`, 'event');
    }
    if (effects.remembers && node.disk.forgetful) {
      node.disk.forgetful = false;
      node.lost = null;
      this.trace(`n${id}: takes part again`, 'event');
    }
    if (core.commitIndex > before.commit) this.trace(`n${id}: commit ${core.commitIndex}`, 'event');
    for (const read of effects.reads) {
      this.trace(
        `n${id}: read ${read.id} ${read.index === null ? 'refused' : `at ${read.index}`}`,
        'event',
      );
      const asked = this.#readsAsked.get(read.id) ?? 0;
      if (read.index !== null) this.history.readServed(read.index, asked);
    }
  }

  /** Seals and proposes one entry at a leader; false when it takes none. */
  propose(id: NodeId, payloadSizeBytes = 8): boolean {
    const core = this.core(id);
    if (!core.canPropose) return false;
    const { log } = this.node(id);
    const frame = Buffer.alloc(ENTRY_HEADER_SIZE_BYTES + payloadSizeBytes, id);
    const entry = sealEntry(frame, {
      index: log.lastIndex + 1,
      term: core.term,
      position: log.endPosition,
      type: entryType.records,
      storeTimestampMs: Math.max(log.lastStoreTimestampMs, 1_000_000 + Math.floor(this.nowMs)),
      recordCount: 1,
    });
    this.step(id, { kind: 'propose', entry });
    return true;
  }

  /** Syncs and delivers until nothing is left to do. */
  settle(roundsMax = 10_000): void {
    for (let round = 0; round < roundsMax; round++) {
      let busy = false;
      for (const [id, node] of this.nodes) if (node.core !== null && this.sync(id)) busy = true;
      for (let count = this.network.length; count > 0; count--) {
        this.deliver(0);
        busy = true;
      }
      if (!busy) return;
    }
    assert(false, 'the group comes to rest');
  }

  /** Lets time pass with healthy disks and links: every `everyMs` all nodes tick and everything settles. */
  run(durationMs: number, everyMs = 10): void {
    const endMs = this.nowMs + durationMs;
    while (this.nowMs < endMs) {
      this.nowMs = Math.min(endMs, this.nowMs + everyMs);
      for (const [id, node] of this.nodes) if (node.core !== null) this.step(id, { kind: 'tick' });
      this.settle();
    }
  }

  /** Every message has to be true at the moment when it leaves. */
  #leave(node: TestNode, message: Message): void {
    if (message.kind === 'append-response') this.#checkAcknowledgement(node, message);
    const { term, votedFor } = node.disk.hardState;
    if (message.kind === 'vote-response' && !message.pre && message.granted) {
      const onDisk = term > message.term || votedFor === message.to;
      assert(onDisk, 'a vote leaves after its sync (R01)');
    }
    if (message.kind === 'vote-request' && !message.pre) {
      const onDisk = term > message.term || votedFor === node.id;
      assert(onDisk, 'a candidate asks after the sync of its own vote (R01)');
    }
    this.network.push(message);
  }

  #checkAcknowledgement(node: TestNode, response: AppendResponse): void {
    if (!response.success || response.term !== node.core?.term) return;
    assert(
      node.disk.log.lastIndex >= response.matchIndex,
      'an acknowledged range is on disk (R02)',
    );
    const from = Math.max(node.log.firstIndex, response.matchIndex - 3);
    for (let index = from; index <= response.matchIndex; index++) {
      assert(
        node.disk.log.termAt(index) === node.log.termAt(index),
        'the disk holds what was acknowledged, not an older tail (R02)',
      );
    }
  }

  #disks(): MemoryLog[][] {
    return [...this.nodes.values()].map(({ disk, lost }) =>
      lost === null ? [disk.log] : [disk.log, lost],
    );
  }

  #traceAppends(id: NodeId, appends: readonly Entry[], lastIndex: number): void {
    const first = appends[0];
    if (first === undefined) return;
    const cut = first.index <= lastIndex ? `, cut ${span(first.index, lastIndex)}` : '';
    this.trace(`n${id}: append ${describeEntries(appends)}${cut}`, 'event');
  }
}

/** Entries from index 1 on with these terms; equal terms at equal indexes give equal entries. */
export function entriesOfTerms(terms: readonly number[], payloadSizeBytes = 8): Entry[] {
  let position = 0;
  return terms.map((term, i) => {
    const frame = Buffer.alloc(ENTRY_HEADER_SIZE_BYTES + payloadSizeBytes, term);
    const entry = sealEntry(frame, {
      index: i + 1,
      term,
      position,
      type: entryType.records,
      storeTimestampMs: 1000 + i,
      recordCount: 1,
    });
    position += frame.length;
    return entry;
  });
}

/** Runs of equal terms: `1..4@t1 5@t2`. */
export function describeEntries(entries: readonly Entry[]): string {
  const runs: string[] = [];
  for (let i = 0; i < entries.length;) {
    let end = i + 1;
    while (end < entries.length && entries[end]!.term === entries[i]!.term) end++;
    runs.push(`${span(entries[i]!.index, entries[end - 1]!.index)}@t${entries[i]!.term}`);
    i = end;
  }
  return runs.length === 0 ? 'nothing' : runs.join(' ');
}

function span(from: number, through: number): string {
  return from === through ? `${from}` : `${from}..${through}`;
}

function name(id: NodeId | null): string {
  return id === null ? '-' : `n${id}`;
}

function describe(message: Message): string {
  const head = `n${message.from}>n${message.to} t${message.term}`;
  switch (message.kind) {
    case 'vote-request': {
      const kind = message.pre ? 'pre-vote?' : message.transfer ? 'vote? (transfer)' : 'vote?';
      return `${head} ${kind} last=${message.lastIndex}@t${message.lastTerm}`;
    }
    case 'vote-response':
      return `${head} ${message.pre ? 'pre-vote' : 'vote'} ${message.granted ? 'yes' : 'no'}${message.forgetful ? ' forgetful' : ''}`;
    case 'append-request': {
      const round = message.readRound === 0 ? '' : ` round=${message.readRound}`;
      const what =
        message.entries.length === 0 ? 'heartbeat' : `append ${describeEntries(message.entries)}`;
      return `${head} ${what} prev=${message.prevIndex}@t${message.prevTerm} commit=${message.commitIndex}${round}`;
    }
    case 'append-response': {
      const round = message.readRound === 0 ? '' : ` round=${message.readRound}`;
      const as = message.recovery === 0 ? '' : message.forgetful ? ' forgetful' : ' recovering';
      if (message.success) return `${head} ok match=${message.matchIndex}${round}${as}`;
      return `${head} no prev=${message.matchIndex} has t${message.conflictTerm} from ${message.conflictFirstIndex}, last=${message.lastIndex}${round}${as}`;
    }
    case 'admission':
      return `${head} admitted at ${message.index}`;
    case 'timeout-now':
      return `${head} take over`;
  }
}

function isEmpty(effects: Effects): boolean {
  const { appends, sendNow, sendAfterSync, reads, hardState, roleChanged } = effects;
  const nothing = [appends, sendNow, sendAfterSync, reads].every((list) => list.length === 0);
  return nothing && hardState === null && !roleChanged;
}
