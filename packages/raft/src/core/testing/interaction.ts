import { assert } from '@raftmq/base';
import { raftCoreConfig } from '../config.js';
import { type Message, type NodeId, type RecoveryKind } from '../types.js';
import { Cluster, describeEntries, type NodeSetup } from './cluster.js';

/**
 * Runs scripts against a {@link Cluster}. A script is a list of blocks: comment lines with `#`, commands, a line of
 * dashes, and what the commands print, up to an empty line.
 *
 *   cluster 3 [seed=1] [maxInflightAppends=2 …]     a group of nodes 1..3 with empty logs
 *   cluster 3 n1=1,1,2/3 n2=1,1                     … with the terms of their entries, and after / term [/ applied]
 *   run 500                   time passes, everything settles; prints events, not messages
 *   pass 100                  time passes, nothing happens
 *   tick 1                    one node looks at its deadlines
 *   timeout 1                 time passes for one node alone until it asks for votes
 *   elect 1 [voters=2,3]      as timeout, then only votes travel until it leads; voters = all others
 *   vote-request from=3 to=2 term=9 last=9 last-term=8 [transfer=1]      arrives out of the blue
 *   settle                    syncs and delivers until nothing is left
 *   deliver [from=1] [to=2] [kind=append-request] [count=1]    delivers what is under way now
 *   drop    [from=1] [to=2] [kind=…]
 *   sync 1 [count=1]          oldest disk work of a node becomes durable
 *   propose 1 [count=1] [size=8]
 *   read 1 id=7               transfer 1 [to=2]           compact 1 through=5
 *   lost 1 peer=2             connected 1 peer=2
 *   crash 1                   restart 1
 *   wipe 1                    of a node that is down: restarts with an empty disk, recovering
 *   power-cut 1 through=5     of a node that is down: restarts without the entries behind 5, forgetful
 *   isolate 1                 cut 1>2 2>1                 heal
 *   log [1]                   status                      network
 */
export class Interaction {
  #cluster: Cluster | null = null;
  #lines: string[] = [];
  #messages = true;

  /** Runs one block's commands and returns what they print. */
  runBlock(commands: readonly string[]): string {
    this.#lines = [];
    for (const command of commands) this.#runCommand(command);
    return this.#lines.length === 0 ? 'ok' : this.#lines.join('\n');
  }

  get #group(): Cluster {
    assert(this.#cluster !== null, 'a script starts with the command cluster');
    return this.#cluster;
  }

  #runCommand(command: string): void {
    const words = command.trim().split(/\s+/);
    const verb = words[0]!;
    const plain = words.slice(1).filter((word) => !word.includes('='));
    const options = new Map<string, string>();
    for (const word of words.slice(1)) {
      const at = word.indexOf('=');
      if (at > 0) options.set(word.slice(0, at), word.slice(at + 1));
    }
    this.#messages = !['run', 'timeout', 'elect'].includes(verb) && !options.has('quiet');
    if (verb === 'cluster') return this.#start(Number(plain[0]), options);
    const action = this.#actions[verb];
    assert(action !== undefined, `"${verb}" is a command`);
    action(plain, options);
  }

  #start(count: number, options: ReadonlyMap<string, string>): void {
    const setups = new Map<NodeId, NodeSetup>();
    const changes: Record<string, number> = {};
    for (let id = 1; id <= count; id++) setups.set(id, { terms: [] });
    for (const [key, value] of options) {
      if (key === 'seed') continue;
      if (!/^n\d+$/.test(key)) {
        changes[key] = Number(value);
        continue;
      }
      const [terms = '', term, appliedIndex] = value.split('/');
      setups.set(Number(key.slice(1)), {
        terms: terms === '' ? [] : terms.split(',').flatMap(expandTerms),
        ...(term === undefined ? {} : { term: Number(term) }),
        ...(appliedIndex === undefined ? {} : { appliedIndex: Number(appliedIndex) }),
      });
    }
    const seed = Number(options.get('seed') ?? 1);
    this.#cluster = new Cluster(raftCoreConfig(changes), setups, seed, (line, detail) => {
      if (detail === 'event' || this.#messages) this.#lines.push(line);
    });
  }

  readonly #actions: Readonly<
    Record<string, (plain: readonly string[], options: ReadonlyMap<string, string>) => void>
  > = {
    run: (plain) => this.#group.run(Number(plain[0])),
    pass: (plain) => {
      this.#group.nowMs += Number(plain[0]);
    },
    tick: (plain) => this.#eachNode(plain, (id) => this.#group.step(id, { kind: 'tick' })),
    timeout: (plain) => this.#timeout(Number(plain[0])),
    elect: (plain, options) => {
      const voters = options.get('voters')?.split(',').map(Number) ?? [...this.#group.nodes.keys()];
      this.#elect(Number(plain[0]), voters);
    },
    'vote-request': (_, options) => this.#receiveVoteRequest(options),
    settle: () => this.#group.settle(),
    deliver: (_, options) => this.#deliver(options),
    drop: (_, options) => {
      const dropped = this.#group.dropMessages((message) => isWanted(message, options));
      this.#lines.push(`dropped ${dropped}`);
    },
    sync: (plain, options) => {
      for (let i = Number(options.get('count') ?? 1); i > 0; i--) {
        assert(this.#group.sync(Number(plain[0])), 'there is disk work to sync');
      }
    },
    propose: (plain, options) => this.#propose(Number(plain[0]), options),
    read: (plain, options) => this.#group.read(Number(plain[0]), Number(options.get('id'))),
    transfer: (plain, options) => {
      const target = options.get('to');
      const input = {
        kind: 'transfer',
        target: target === undefined ? null : Number(target),
      } as const;
      this.#group.step(Number(plain[0]), input);
    },
    compact: (plain, options) =>
      this.#group.compact(Number(plain[0]), Number(options.get('through'))),
    lost: (plain, options) =>
      this.#group.step(Number(plain[0]), { kind: 'peer-lost', peer: Number(options.get('peer')) }),
    connected: (plain, options) => {
      const peer = Number(options.get('peer'));
      this.#group.step(Number(plain[0]), { kind: 'peer-connected', peer });
    },
    crash: (plain) => this.#eachNode(plain, (id) => this.#group.crash(id)),
    restart: (plain) => this.#eachNode(plain, (id) => this.#group.start(id)),
    'power-cut': (plain, options) =>
      this.#eachNode(plain, (id) => {
        this.#group.losePower(id, Number(options.get('through')));
        this.#group.start(id);
      }),
    wipe: (plain) =>
      this.#eachNode(plain, (id) => {
        this.#group.wipe(id);
        this.#group.start(id);
      }),
    isolate: (plain) =>
      this.#eachNode(plain, (id) => {
        for (const other of this.#group.nodes.keys()) {
          this.#group.cut(id, other);
          this.#group.cut(other, id);
        }
      }),
    cut: (plain) => {
      for (const link of plain) {
        const [from, to] = link.split('>').map(Number);
        this.#group.cut(from!, to!);
      }
    },
    heal: () => this.#group.heal(),
    log: (plain) =>
      this.#eachNode(plain, (id) => {
        const node = this.#group.node(id);
        const onDisk = describeEntries(node.disk.log.entries);
        const inLog = describeEntries(node.log.entries);
        const behind = node.core === null || inLog === onDisk ? '' : `, on disk ${onDisk}`;
        this.#lines.push(`n${id}: ${node.core === null ? onDisk : inLog}${behind}`);
      }),
    status: (plain) => this.#eachNode(plain, (id) => this.#status(id)),
    network: () => {
      this.#lines.push(`${this.#group.network.length} under way`);
    },
  };

  #eachNode(plain: readonly string[], act: (id: NodeId) => void): void {
    const ids = plain.length === 0 ? [...this.#group.nodes.keys()] : plain.map(Number);
    for (const id of ids) act(id);
  }

  /** Only this node sees time pass, so that it is the one to campaign. */
  #timeout(id: NodeId): void {
    const group = this.#group;
    const { length } = group.network;
    for (let waitedMs = 0; waitedMs < 5000; waitedMs++) {
      group.nowMs++;
      group.step(id, { kind: 'tick' });
      if (group.network.length > length) return;
    }
    assert(false, 'a node without a leader asks for votes');
  }

  #elect(id: NodeId, voters: readonly NodeId[]): void {
    const group = this.#group;
    for (let round = 0; round < 20 && group.core(id).role !== 'leader'; round++) {
      // A refusal may have taught it a later term: then it has to ask once more.
      if (group.core(id).role === 'follower') this.#timeout(id);
      while (group.sync(id)) continue;
      this.#deliverWhere((message) => message.from === id && voters.includes(message.to));
      for (const voter of voters) while (group.isUp(voter) && group.sync(voter)) continue;
      this.#deliverWhere((message) => message.to === id && message.kind === 'vote-response');
    }
    assert(group.core(id).role === 'leader', 'the node wins the election');
    group.dropMessages(({ kind }) => kind === 'vote-request' || kind === 'vote-response');
  }

  #deliverWhere(isMeant: (message: Message) => boolean): void {
    const { network } = this.#group;
    const meant = network.filter(isMeant);
    for (const message of meant) this.#group.deliver(network.indexOf(message));
  }

  #receiveVoteRequest(options: ReadonlyMap<string, string>): void {
    this.#group.receive({
      kind: 'vote-request',
      from: Number(options.get('from')),
      to: Number(options.get('to')),
      term: Number(options.get('term')),
      pre: false,
      lastIndex: Number(options.get('last')),
      lastTerm: Number(options.get('last-term')),
      transfer: options.get('transfer') === '1',
    });
  }

  #deliver(options: ReadonlyMap<string, string>): void {
    const { network } = this.#group;
    const wanted = network.filter((message) => isWanted(message, options));
    const count = Math.min(wanted.length, Number(options.get('count') ?? wanted.length));
    for (let i = 0; i < count; i++) this.#group.deliver(network.indexOf(wanted[i]!));
    if (count === 0) this.#lines.push('nothing to deliver');
  }

  #propose(id: NodeId, options: ReadonlyMap<string, string>): void {
    for (let i = Number(options.get('count') ?? 1); i > 0; i--) {
      const taken = this.#group.propose(id, Number(options.get('size') ?? 8));
      if (!taken) this.#lines.push(`n${id}: takes no proposals`);
    }
  }

  #status(id: NodeId): void {
    const node = this.#group.node(id);
    if (node.core === null) {
      this.#lines.push(`n${id}: down`);
      return;
    }
    const { role, term, leaderId, commitIndex, lastIndex, durableIndex, recovery } = node.core;
    const leader = leaderId === null ? '-' : `n${leaderId}`;
    this.#lines.push(
      `n${id}: ${role} term=${term} leader=${leader} commit=${commitIndex} last=${lastIndex} durable=${durableIndex}${recoveryNames[recovery]}`,
    );
    for (const peer of node.core.progress) {
      const inflight = peer.inflightAppends === 0 ? '' : ` inflight=${peer.inflightAppends}`;
      this.#lines.push(
        `  n${peer.id}: ${peer.state} match=${peer.matchIndex} next=${peer.nextIndex}${inflight}`,
      );
    }
  }
}

const recoveryNames = {
  none: '',
  forgetful: ' forgetful',
  'lost-disk': ' recovering',
} as const satisfies Record<RecoveryKind, string>;

/** `3*50` is fifty entries of term 3; `2-8+2*3` three entries of each of the terms 2, 4, 6 and 8. */
function expandTerms(word: string): number[] {
  const match = /^(\d+)(?:-(\d+))?(?:\+(\d+))?(?:\*(\d+))?$/.exec(word);
  assert(match !== null, `"${word}" is a list of terms`);
  const from = Number(match[1]);
  const terms: number[] = [];
  for (let term = from; term <= Number(match[2] ?? from); term += Number(match[3] ?? 1)) {
    for (let i = 0; i < Number(match[4] ?? 1); i++) terms.push(term);
  }
  return terms;
}

function isWanted(message: Message, options: ReadonlyMap<string, string>): boolean {
  const { kind, from, to } = message;
  if ((options.get('kind') ?? kind) !== kind) return false;
  if (options.has('from') && Number(options.get('from')) !== from) return false;
  return !options.has('to') || Number(options.get('to')) === to;
}

/** One block of a script file. */
export interface ScriptBlock {
  /** Comments and commands as written, without the dashes. */
  readonly head: readonly string[];
  readonly commands: readonly string[];
  readonly expected: string;
}

/** Splits a script into its blocks. */
export function parseScript(source: string): ScriptBlock[] {
  const blocks: ScriptBlock[] = [];
  for (const chunk of source.trim().split(/\n\s*\n/)) {
    const lines = chunk.split('\n');
    const dashes = lines.indexOf('----');
    const head = dashes < 0 ? lines : lines.slice(0, dashes);
    const commands = head.filter((line) => line.trim() !== '' && !line.startsWith('#'));
    const expected = dashes < 0 ? '' : lines.slice(dashes + 1).join('\n');
    blocks.push({ head, commands, expected });
  }
  return blocks;
}

/** The script with what its commands print now. */
export function recordScript(source: string): string {
  const interaction = new Interaction();
  const chunks = parseScript(source).map((block) => {
    if (block.commands.length === 0) return block.head.join('\n');
    return [...block.head, '----', interaction.runBlock(block.commands)].join('\n');
  });
  return `${chunks.join('\n\n')}\n`;
}
