import { assert, type Prng } from '@raftmq/base';
import { checkRaftCoreConfig, type RaftCoreConfig } from './config.js';
import { type Entry } from './entry.js';
import { type LeaderState } from './leader-state.js';
import { LogView, type LogSource } from './log-view.js';
import { type Vote } from './quorum.js';
import { type Effects, type HardState, type Message, type NodeId, type Role } from './types.js';

/** What a replica is started with. */
export interface RaftCoreOptions {
  readonly id: NodeId;
  /** All members of the group, this replica included; each once. */
  readonly voters: readonly NodeId[];
  readonly config: RaftCoreConfig;
  /** The log as recovered from disk; all of it is taken to be durable. Read again in each step. */
  readonly log: LogSource;
  /** As loaded from disk; `{ term: 0, votedFor: null }` on a fresh replica. May be behind the log's last term. */
  readonly hardState: HardState;
  readonly random: Prng;
  /** What the state machine has applied already is committed; 0 when nothing. */
  readonly appliedIndex?: number;
  /** False = starts recovering: it lost its disk, or its group does not know it yet (R22). Default true. */
  readonly takesPart?: boolean;
  /** True = entries that it acknowledged may be missing at the end of its log; its votes are not (R23). Default false. */
  readonly forgetful?: boolean;
  /** Mistakes on purpose, for tests that must notice them; never set elsewhere. */
  readonly testOnlyBugs?: TestOnlyBugs;
}

/** Mistakes that a simulator must be able to find. */
export interface TestOnlyBugs {
  /** A leader commits entries of earlier terms by counting replicas: figure 8 of the Raft paper. */
  readonly commitsOldTerms: boolean;
}

/**
 * The state that all roles share, and the moves between roles. The files follower, candidate, leader and vote work on
 * it; only RaftCore shows it to the outside.
 *
 *   follower ──silence──► pre-candidate ──majority willing──► candidate ──majority──► leader
 *       ▲                      │                                 │                      │
 *       └──── a leader, a higher term, or (leader only) no majority within the lease ───┘
 */
export class Replica {
  readonly id: NodeId;
  readonly voters: readonly NodeId[];
  readonly peers: readonly NodeId[];
  readonly config: RaftCoreConfig;
  readonly log: LogView;
  readonly effects: Effects;
  readonly commitsOldTerms: boolean;
  readonly #random: Prng;

  role: Role = 'follower';
  term: number;
  votedFor: NodeId | null;
  leaderId: NodeId | null = null;
  commitIndex: number;
  /** Through here this replica's own log is known to be on disk (R02). */
  durableIndex: number;
  /** Present exactly while the role is leader. */
  leader: LeaderState | null = null;
  /** 0 = takes part. Else this recovery's number, until a leader admits it. */
  recovery = 0;
  /** The recovery is that of a lost disk: it votes for nobody, not even itself, and is not counted (R22). */
  lostDisk = false;
  /** Answers to the vote under way, this replica's own included. */
  readonly votes = new Map<NodeId, Vote>();

  nowMs = -Infinity;
  wallMs = 0;
  electionDeadlineMs = -Infinity;
  /** Last sign of life of the leader of this term; votes are ignored for a while after it (R09). */
  leaderContactMs = -Infinity;
  /** Until then election timeouts come from the short ranges: after the start, and after the leader's socket broke. */
  #hurryUntilMs = -Infinity;
  #hurry: 'none' | 'start' | 'peer-lost' = 'none';

  constructor(options: RaftCoreOptions) {
    checkRaftCoreConfig(options.config);
    assert(options.voters.includes(options.id), 'a replica is one of the voters of its group');
    assert(new Set(options.voters).size === options.voters.length, 'no voter is listed twice');
    assert(options.hardState.term >= 0, 'terms are not negative');
    this.id = options.id;
    this.voters = [...options.voters];
    this.peers = options.voters.filter((voter) => voter !== options.id);
    this.config = options.config;
    this.log = new LogView(options.log);
    this.#random = options.random;
    this.commitsOldTerms = options.testOnlyBugs?.commitsOldTerms ?? false;
    if (options.takesPart === false) this.startRecovery(true);
    else if (options.forgetful === true) this.startRecovery(false);
    // Appends and the term of their step are written side by side. When only the appends survived a power cut, that
    // term had a leader, and no vote of this replica in it has left: it may take the term from its log.
    const behindLog = options.hardState.term < this.log.lastTerm;
    this.term = behindLog ? this.log.lastTerm : options.hardState.term;
    this.votedFor = behindLog ? null : options.hardState.votedFor;
    this.durableIndex = this.log.lastIndex;
    this.commitIndex = Math.max(options.appliedIndex ?? 0, this.log.firstIndex - 1);
    assert(this.commitIndex <= this.log.lastIndex, 'what was applied is still in the log');
    this.effects = {
      hardState: null,
      appends: [],
      sendNow: [],
      sendAfterSync: [],
      committedThrough: this.commitIndex,
      reads: [],
      admittedAt: null,
      remembers: false,
      roleChanged: false,
    };
  }

  /** Starts a step with empty effects. The arrays are new: the driver may still hold those of the step before. */
  begin(nowMs: number, wallMs: number): void {
    assert(nowMs >= this.nowMs, 'monotonic time does not go back');
    const effects = this.effects;
    effects.hardState = null;
    effects.roleChanged = false;
    effects.admittedAt = null;
    effects.remembers = false;
    effects.appends = [];
    effects.sendNow = [];
    effects.sendAfterSync = [];
    effects.reads = [];
    this.log.begin(effects.appends);
    const first = this.nowMs === -Infinity;
    this.nowMs = nowMs;
    this.wallMs = wallMs;
    if (first) this.#beginFirst();
  }

  /** Ends a step: what must always hold is checked here. */
  finish(): Effects {
    assert(this.commitIndex >= this.effects.committedThrough, 'the commit index never goes back');
    assert(this.commitIndex <= this.log.lastIndex, 'what is committed is in the log');
    assert(this.durableIndex <= this.log.lastIndex, 'what is durable is in the log');
    assert(this.log.lastTerm <= this.term, 'no entry is from a later term');
    assert(!this.lostDisk || this.role === 'follower', 'without its votes a replica only follows');
    assert(this.recovery === 0 || this.role !== 'leader', 'a leader has nothing to recover');
    assert((this.role === 'leader') === (this.leader !== null), 'leader state belongs to leaders');
    assert(
      (this.role === 'leader') === (this.leaderId === this.id),
      'a leader knows that it leads',
    );
    this.effects.committedThrough = this.commitIndex;
    return this.effects;
  }

  /** Whether the leader of this term was heard so recently that votes are ignored (R09). */
  get inContact(): boolean {
    if (this.role === 'leader') return true;
    return this.nowMs - this.leaderContactMs < this.config.electionTimeoutMinMs;
  }

  send(message: Message): void {
    this.effects.sendNow.push(message);
  }

  /** For what promises something about the disk: leaves when everything of this step is durable. */
  sendAfterSync(message: Message): void {
    assert(
      this.effects.hardState !== null || this.effects.appends.length > 0,
      'there is a sync to wait for',
    );
    this.effects.sendAfterSync.push(message);
  }

  /** Appends to the log; a conflicting tail goes, and with it the claim that it was durable. */
  append(entry: Entry): void {
    if (entry.index <= this.log.lastIndex) {
      assert(entry.index > this.commitIndex, 'committed entries are never replaced');
      assert(this.role === 'follower', 'only followers replace entries');
      this.durableIndex = Math.min(this.durableIndex, entry.index - 1);
    }
    this.log.append(entry);
  }

  commitThrough(index: number): void {
    assert(index > this.commitIndex, 'a commit moves forward');
    assert(index <= this.log.lastIndex, 'only entries of the log are committed');
    this.commitIndex = index;
  }

  /** Persists term and vote in this step, even when unchanged: an earlier save may still be on its way. */
  persist(): void {
    this.effects.hardState = { term: this.term, votedFor: this.votedFor };
  }

  /** Moves to a later term, in which nothing has been voted yet. */
  enterTerm(term: number): void {
    assert(term > this.term, 'terms only grow');
    this.term = term;
    this.votedFor = null;
    this.persist();
  }

  vote(candidate: NodeId): void {
    assert(this.votedFor === null || this.votedFor === candidate, 'one vote in a term');
    this.votedFor = candidate;
    this.persist();
  }

  /** Follower of `leaderId` (null = not known yet) in `term`, which is not below the current one. */
  becomeFollower(term: number, leaderId: NodeId | null): void {
    const before = this.role;
    if (term !== this.term) this.enterTerm(term);
    this.leader?.reads.refuseAll(this.effects.reads);
    if (before === 'leader') this.leaderContactMs = -Infinity;
    this.setRole('follower', leaderId);
    if (before === 'pre-candidate') {
      // It asked in an outdated term, which is the only reason why it was refused: ask again soon.
      this.electionDeadlineMs = this.nowMs + this.#drawRetryMs();
    } else if (before !== 'follower') {
      this.resetElectionTimer();
    }
  }

  /** It may lack entries that it acknowledged, but none of its votes: see recovery.ts (R23). */
  get forgetful(): boolean {
    return this.recovery !== 0 && !this.lostDisk;
  }

  /** @param lostDisk its votes are gone too: from now on this replica only follows */
  startRecovery(lostDisk: boolean): void {
    this.lostDisk = lostDisk;
    this.recovery = this.#random.integer(1, 2 ** 32 - 1);
  }

  endRecovery(): void {
    this.recovery = 0;
    this.lostDisk = false;
    this.effects.remembers = true;
  }

  /** The leader of this term spoke. */
  heardLeader(leaderId: NodeId): void {
    assert(this.role !== 'leader', 'a term has one leader');
    assert(this.leaderId === null || this.leaderId === leaderId, 'a term has one leader only');
    if (this.role !== 'follower' || this.leaderId !== leaderId) this.setRole('follower', leaderId);
    this.leaderContactMs = this.nowMs;
    this.#hurry = 'none';
    this.resetElectionTimer();
  }

  /** The connection to the leader broke: forget it and ask for a pre-vote within moments. */
  lostLeader(): void {
    this.leaderContactMs = -Infinity;
    this.setRole('follower', null);
    this.#hurry = 'peer-lost';
    this.#hurryUntilMs = this.nowMs + this.config.preVoteRetryWindowMs;
    this.electionDeadlineMs = this.nowMs + this.#random.integer(0, this.config.peerLostJitterMaxMs);
  }

  setRole(role: Role, leaderId: NodeId | null): void {
    if (role !== 'leader') this.leader = null;
    this.role = role;
    this.leaderId = leaderId;
    if (role === 'follower' || role === 'leader') this.votes.clear();
    if (role === 'leader') this.#hurry = 'none';
  }

  /**
   * Draws the next election deadline: short while in a hurry, else from the ordinary range.
   * @param electionUnderWay a vote was just asked for or given: even in a hurry, leave it the time to succeed
   */
  resetElectionTimer(electionUnderWay = false): void {
    this.electionDeadlineMs = this.nowMs + this.#drawTimeoutMs(electionUnderWay);
  }

  #drawTimeoutMs(electionUnderWay: boolean): number {
    const config = this.config;
    if (this.#hurry === 'none' || this.nowMs >= this.#hurryUntilMs) {
      return this.#random.integer(config.electionTimeoutMinMs, config.electionTimeoutMaxMs);
    }
    if (this.#hurry === 'peer-lost' && !electionUnderWay) {
      return this.#drawRetryMs();
    }
    return this.#random.integer(config.firstElectionTimeoutMinMs, config.firstElectionTimeoutMaxMs);
  }

  #drawRetryMs(): number {
    return this.#random.integer(this.config.preVoteRetryMinMs, this.config.preVoteRetryMaxMs);
  }

  #beginFirst(): void {
    this.#hurry = 'start';
    this.#hurryUntilMs = this.nowMs + this.config.startWindowMs;
    this.electionDeadlineMs = this.nowMs;
    if (this.peers.length > 0) this.resetElectionTimer();
  }
}
