import { assert } from '@raftmq/base';
import { type Entry } from './entry.js';
import { LeaderState } from './leader-state.js';
import { majority, quorumValue } from './quorum.js';
import { continueAdmission } from './recovery.js';
import { appendNoop, appendOwn } from './own-entries.js';
import { nextAfterRefusal, replicateTo, sendHeartbeat } from './replication.js';
import { type Replica } from './replica.js';
import { abortTransfer, continueTransfer } from './transfer.js';
import { type AppendResponse, type NodeId } from './types.js';

/**
 * Won the election: the first entry of the term is a no-op, which commits everything before it (R06).
 * @param byAll with the votes of replicas that may have forgotten something: this log is now the group's (R23)
 */
export function becomeLeader(replica: Replica, byAll: boolean): void {
  const { log, nowMs, config } = replica;
  const noopIndex = log.lastIndex + 1;
  replica.setRole('leader', replica.id);
  // Whatever it forgot and the group still has is in its log again, or nobody who has it had voted.
  if (replica.forgetful) replica.endRecovery();
  replica.leader = new LeaderState(replica.peers, noopIndex, log.endPosition, nowMs, config, byAll);
  appendNoop(replica, replica.leader);
}

/** The next entry, sealed by the driver after asking canPropose in the same turn. */
export function onPropose(replica: Replica, leader: LeaderState, entry: Entry): void {
  assert(leader.transferTarget === null, 'no proposals during a transfer');
  assert(entry.term === replica.term, 'a proposal is sealed in the current term');
  assert(entry.index === replica.log.lastIndex + 1, 'a proposal is sealed for the next index');
  assert(
    entry.storeTimestampMs >= replica.log.lastStoreTimestampMs,
    'store timestamps never go back',
  );
  appendOwn(replica, leader, entry);
}

/** Heartbeats and deadlines. The lease was checked when the step began. */
export function tickLeader(replica: Replica, leader: LeaderState): void {
  if (leader.transferTarget !== null && replica.nowMs >= leader.transferDeadlineMs) {
    abortTransfer(leader);
  }
  if (replica.nowMs >= leader.heartbeatDueMs) heartbeatAll(replica, leader);
}

/** When the next heartbeat is due, a transfer is taken back, or the lease ends: whichever comes first. */
export function leaderDeadlineMs(replica: Replica, leader: LeaderState): number {
  const leaseEndMs = quorumContactMs(replica, leader, replica.nowMs) + replica.config.leaseMs;
  const dueMs = Math.min(leader.heartbeatDueMs, leaseEndMs);
  return leader.transferTarget === null ? dueMs : Math.min(dueMs, leader.transferDeadlineMs);
}

/** When the majority's newest answered requests were sent: the lease runs from there (R08). */
export function quorumContactMs(replica: Replica, leader: LeaderState, nowMs: number): number {
  const { scratch, progress } = leader;
  for (let i = 0; i < progress.length; i++) {
    scratch[i] = progress[i]!.counts ? progress[i]!.contactMs : -Infinity;
  }
  scratch[progress.length] = nowMs;
  return quorumValue(scratch);
}

/** Without a majority's answers for leaseMs, another leader may be about to be elected: step down (R08). */
export function checkQuorum(replica: Replica, leader: LeaderState): void {
  const contactMs = quorumContactMs(replica, leader, replica.nowMs);
  if (replica.nowMs - contactMs >= replica.config.leaseMs) {
    replica.becomeFollower(replica.term, null);
  }
}

export function onAppendResponse(
  replica: Replica,
  leader: LeaderState,
  response: AppendResponse,
): void {
  const progress = leader.progressOf(response.from);
  progress.standsAt(response.recovery, response.recovery === 0 || response.forgetful);
  progress.answered(Math.min(response.sentAtMs, replica.nowMs), response.readRound);
  if (response.success) {
    assert(response.matchIndex <= replica.log.lastIndex, 'nobody acknowledges what was not sent');
    if (progress.accepted(response.matchIndex, replica.log.firstIndex))
      advanceCommit(replica, leader);
  } else if (!progress.isStaleRefusal(response.matchIndex)) {
    progress.refused(response.matchIndex, nextAfterRefusal(replica, response));
  }
  replicateTo(replica, leader, progress);
  continueAdmission(replica, leader, progress);
  continueTransfer(replica, leader);
  confirmReads(replica, leader);
}

/** This replica's own write is durable: from now on it counts itself (R18). */
export function onOwnSync(replica: Replica, leader: LeaderState): void {
  advanceCommit(replica, leader);
  confirmReads(replica, leader);
}

export function onRead(replica: Replica, leader: LeaderState, id: number): void {
  if (!leader.reads.add(id)) {
    replica.effects.reads.push({ id, index: null });
    return;
  }
  confirmReads(replica, leader);
}

/** A follower's connection broke: what was under way may be lost, and it cannot take over now. */
export function onFollowerLost(leader: LeaderState, peer: NodeId): void {
  leader.progressOf(peer).connectionLost();
  if (leader.transferTarget === peer) abortTransfer(leader);
}

/** A follower is back, perhaps as a new process: find out what it has. */
export function onFollowerConnected(replica: Replica, leader: LeaderState, peer: NodeId): void {
  const progress = leader.progressOf(peer);
  progress.reconnected(replica.log.lastIndex);
  replicateTo(replica, leader, progress);
}

/** Only entries of this term are committed by counting; they carry everything before them along (R06). */
function advanceCommit(replica: Replica, leader: LeaderState): void {
  const { scratch, progress } = leader;
  for (let i = 0; i < progress.length; i++) {
    scratch[i] = progress[i]!.counts ? progress[i]!.matchIndex : 0;
  }
  scratch[progress.length] = replica.durableIndex;
  const index = quorumValue(scratch);
  if (index <= replica.commitIndex) return;
  if (!replica.commitsOldTerms) {
    if (index < leader.noopIndex) return;
    assert(
      replica.log.termAt(index) === replica.term,
      'only own-term entries are committed by counting',
    );
  }
  replica.commitThrough(index);
  leader.committed(index);
}

/** Finishes the read round under way when a majority answered it, and starts the next. */
function confirmReads(replica: Replica, leader: LeaderState): void {
  const { reads } = leader;
  if (replica.commitIndex < leader.noopIndex) return;
  while (reads.size > 0) {
    if (!reads.roundUnderWay) {
      reads.startRound(replica.commitIndex);
      heartbeatAll(replica, leader);
    }
    let answered = 1;
    for (const { counts, readRound } of leader.progress)
      if (counts && readRound >= reads.round) answered++;
    if (answered < majority(replica.voters.length)) return;
    reads.confirm(replica.effects.reads);
  }
}

function heartbeatAll(replica: Replica, leader: LeaderState): void {
  leader.heartbeatDueMs = replica.nowMs + replica.config.heartbeatIntervalMs;
  for (const progress of leader.progress) {
    // A probe that was not sent yet is a heartbeat too.
    const probes = progress.state === 'probe' && progress.hasRoom;
    if (!probes) sendHeartbeat(replica, leader, progress);
    replicateTo(replica, leader, progress);
  }
}
