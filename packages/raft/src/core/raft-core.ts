import { assert } from '@raftmq/base';
import { onVoteResponse } from './candidate.js';
import { type RaftCoreConfig } from './config.js';
import {
  followerDeadlineMs,
  onAppendRequest,
  onLeaderLost,
  onTimeoutNow,
  refuseOldLeader,
  tickFollower,
} from './follower.js';
import {
  checkQuorum,
  leaderDeadlineMs,
  onAppendResponse,
  onFollowerConnected,
  onFollowerLost,
  onOwnSync,
  onPropose,
  onRead,
  quorumContactMs,
  tickLeader,
} from './leader.js';
import { type ProgressState } from './progress.js';
import { onAdmission, onStanding } from './recovery.js';
import { Replica, type RaftCoreOptions } from './replica.js';
import { startTransfer } from './transfer.js';
import {
  type Effects,
  type Input,
  type Message,
  type NodeId,
  type RecoveryKind,
  type Role,
} from './types.js';
import { onVoteRequest } from './vote.js';

/** One follower as its leader sees it, for status pages. */
export interface PeerStatus {
  readonly id: NodeId;
  readonly state: ProgressState;
  readonly matchIndex: number;
  readonly nextIndex: number;
  readonly inflightAppends: number;
  readonly inflightBytes: number;
  /** When the newest answered request was sent, on the leader's monotonic clock. */
  readonly contactMs: number;
  readonly recovery: RecoveryKind;
}

/**
 * One replica of a Raft group as a function: inputs go into {@link step}, effects come out. It owns no disk, network,
 * timer, clock or dice, so the same inputs give the same effects, always.
 *
 * What the driver owes it:
 * - one step at a time; carry out the effects (see {@link Effects}) before the next step, as far as "before" is
 *   visible here: `log` must show the appends, while their sync, and all sending, may still be under way;
 * - disk work becomes durable in the order of the steps, term and vote no later than the appends of the same step;
 * - after each sync of appends, the input 'synced';
 * - a tick when {@link deadlineMs} has come, asked anew after each step: all deadlines are checked there. Ticks in
 *   between do no harm; a late one delays elections and heartbeats by as much.
 *
 * A failed assertion (or a log that cannot be read) means that the process must stop: the state is not usable then.
 */
export class RaftCore {
  readonly #replica: Replica;

  /** @throws MqError CONFIG_INVALID when settings contradict each other */
  constructor(options: RaftCoreOptions) {
    this.#replica = new Replica(options);
  }

  /**
   * Takes one input in.
   * @param nowMs the monotonic clock, fractions allowed; never lower than in the step before
   * @param wallMs the wall clock; used only as store timestamp of a new leader's no-op
   * @returns what to do, in an object that the next step reuses
   */
  step(input: Input, nowMs: number, wallMs: number): Effects {
    const replica = this.#replica;
    const { role, term, leaderId } = replica;
    replica.begin(nowMs, wallMs);
    // First of all: after a long pause nothing may be decided on a lease that ran out meanwhile (R31). A proposal was
    // sealed on the promise of canPropose; it is appended, which is safe in any case, and the next step looks again.
    if (replica.leader !== null && input.kind !== 'propose') checkQuorum(replica, replica.leader);
    this.#dispatch(input);
    replica.effects.roleChanged =
      role !== replica.role || term !== replica.term || leaderId !== replica.leaderId;
    assert(replica.term >= term, 'the term never goes back');
    return replica.finish();
  }

  /**
   * When a tick next has something to do, on the monotonic clock of the steps; Infinity when only an input can change
   * anything. Each step may move it, in either direction.
   */
  get deadlineMs(): number {
    const replica = this.#replica;
    const { leader } = replica;
    return leader === null ? followerDeadlineMs(replica) : leaderDeadlineMs(replica, leader);
  }

  get id(): NodeId {
    return this.#replica.id;
  }

  get voters(): readonly NodeId[] {
    return this.#replica.voters;
  }

  get config(): RaftCoreConfig {
    return this.#replica.config;
  }

  get role(): Role {
    return this.#replica.role;
  }

  get term(): number {
    return this.#replica.term;
  }

  get votedFor(): NodeId | null {
    return this.#replica.votedFor;
  }

  /** Whether it recovers: from a lost disk (R22), or because it may have forgotten the end of its log (R23). */
  get recovery(): RecoveryKind {
    return recoveryKind(this.#replica.recovery, this.#replica.lostDisk);
  }

  /** It leads by the votes of all, as a majority may have forgotten what it acknowledged (R23). */
  get electedByAll(): boolean {
    return this.#replica.leader?.electedByAll ?? false;
  }

  /** Itself when it leads; null while nobody is known to lead in this term. */
  get leaderId(): NodeId | null {
    return this.#replica.leaderId;
  }

  get commitIndex(): number {
    return this.#replica.commitIndex;
  }

  get lastIndex(): number {
    return this.#replica.log.lastIndex;
  }

  /**
   * Through here this replica's log is on its own disk. The commit index may be ahead of it: others can be a majority.
   */
  get durableIndex(): number {
    return this.#replica.durableIndex;
  }

  /** Index of the no-op of the term it leads, null in other roles. Writes open when it is applied (R06). */
  get noopIndex(): number | null {
    return this.#replica.leader?.noopIndex ?? null;
  }

  /** Who is to take over, null when no transfer is under way. */
  get transferTarget(): NodeId | null {
    return this.#replica.leader?.transferTarget ?? null;
  }

  /**
   * Whether 'propose' is allowed now: it leads, hands over to nobody, and has room for uncommitted bytes. Ask right
   * before sealing; 'propose' without it is a failed assertion.
   */
  get canPropose(): boolean {
    const { leader, config } = this.#replica;
    if (leader === null || leader.transferTarget !== null) return false;
    return leader.uncommittedBytes < config.maxUncommittedBytes;
  }

  /** Bytes of its own term that are not committed; 0 when it does not lead. */
  get uncommittedBytes(): number {
    return this.#replica.leader?.uncommittedBytes ?? 0;
  }

  /** One element per peer while it leads, else empty. */
  get progress(): readonly PeerStatus[] {
    const { leader } = this.#replica;
    if (leader === null) return [];
    return leader.progress.map((peer) => ({
      id: peer.id,
      state: peer.state,
      matchIndex: peer.matchIndex,
      nextIndex: peer.nextIndex,
      inflightAppends: peer.inflightAppends,
      inflightBytes: peer.inflightBytes,
      contactMs: peer.contactMs,
      recovery: recoveryKind(peer.recovery, !peer.counts),
    }));
  }

  /**
   * Whether it leads and a majority answered requests sent less than leaseMs ago: no other replica that heard them has
   * voted since. A follower that restarts, or whose connection here breaks, votes earlier; so this bounds what an
   * isolated leader may still say, and a linearizable read asks with 'read'.
   */
  leaseValid(nowMs: number): boolean {
    const replica = this.#replica;
    const { leader } = replica;
    if (leader === null || leader.transferTarget !== null) return false;
    return nowMs - quorumContactMs(replica, leader, nowMs) < replica.config.leaseMs;
  }

  #dispatch(input: Input): void {
    const replica = this.#replica;
    const { leader } = replica;
    switch (input.kind) {
      case 'tick':
        return leader === null ? tickFollower(replica) : tickLeader(replica, leader);
      case 'message':
        return this.#receive(input.message);
      case 'propose':
        assert(leader !== null, 'only a leader takes proposals');
        return onPropose(replica, leader, input.entry);
      case 'synced':
        return this.#synced(input.throughIndex, input.term);
      case 'peer-lost':
        if (!replica.peers.includes(input.peer)) return;
        return leader === null
          ? onLeaderLost(replica, input.peer)
          : onFollowerLost(leader, input.peer);
      case 'peer-connected':
        if (leader === null || !replica.peers.includes(input.peer)) return;
        return onFollowerConnected(replica, leader, input.peer);
      case 'standing':
        return onStanding(replica, input.takesPart);
      case 'read':
        if (leader !== null) return onRead(replica, leader, input.id);
        replica.effects.reads.push({ id: input.id, index: null });
        return;
      case 'transfer':
        if (leader !== null) startTransfer(replica, leader, input.target);
        return;
    }
  }

  /** Settles terms, then lets the role act. Messages of strangers, and those meant for others, are dropped. */
  #receive(message: Message): void {
    const replica = this.#replica;
    if (message.to !== replica.id || !replica.peers.includes(message.from)) return;
    if (message.kind === 'vote-request') return onVoteRequest(replica, message);
    if (message.term < replica.term) {
      if (message.kind === 'append-request') refuseOldLeader(replica, message);
      return;
    }
    // A granted pre-vote carries the term that was asked about, which nobody is in yet.
    const hypothetical = message.kind === 'vote-response' && message.pre && message.granted;
    if (message.term > replica.term && !hypothetical) replica.becomeFollower(message.term, null);
    switch (message.kind) {
      case 'append-request':
        return onAppendRequest(replica, message);
      case 'append-response':
        if (replica.leader !== null) onAppendResponse(replica, replica.leader, message);
        return;
      case 'vote-response':
        return onVoteResponse(replica, message);
      case 'admission':
        return onAdmission(replica, message);
      case 'timeout-now':
        return onTimeoutNow(replica, message);
    }
  }

  /**
   * A sync counts only in the term of its write. Within one term nothing that was written is cut again; an older
   * term's write may have been replaced since, even by entries that look the same (R02). Nothing is lost by that: each
   * new term writes at least its no-op, whose sync covers everything before.
   */
  #synced(throughIndex: number, term: number): void {
    const replica = this.#replica;
    assert(term <= replica.term, 'no write is from a later term');
    if (term !== replica.term || throughIndex <= replica.durableIndex) return;
    assert(throughIndex <= replica.log.lastIndex, 'entries of the current term are never cut');
    replica.durableIndex = throughIndex;
    if (replica.leader !== null) onOwnSync(replica, replica.leader);
  }
}

function recoveryKind(recovery: number, lostDisk: boolean): RecoveryKind {
  if (recovery === 0) return 'none';
  return lostDisk ? 'lost-disk' : 'forgetful';
}
