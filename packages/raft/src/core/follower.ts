import { assert } from '@raftmq/base';
import { campaign, preCampaign } from './candidate.js';
import { entryEnd } from './entry.js';
import { type Replica } from './replica.js';
import { type AppendRequest, type AppendResponse, type NodeId, type TimeoutNow } from './types.js';

/** The election deadline passed without a sign of a leader; the same for all who do not lead. */
export function tickFollower(replica: Replica): void {
  if (!replica.lostDisk && replica.nowMs >= replica.electionDeadlineMs) preCampaign(replica);
}

/** When {@link tickFollower} has something to do; Infinity after a lost disk, when it only listens. */
export function followerDeadlineMs(replica: Replica): number {
  return replica.lostDisk ? Infinity : replica.electionDeadlineMs;
}

/** The leader's connection broke. In other roles, or from other peers, this means nothing here. */
export function onLeaderLost(replica: Replica, peer: NodeId): void {
  if (replica.role === 'follower' && replica.leaderId === peer) replica.lostLeader();
}

/** The leader of this term hands over: campaign without asking for willingness first (R11). */
export function onTimeoutNow(replica: Replica, message: TimeoutNow): void {
  if (replica.recovery !== 0) return;
  if (replica.role === 'follower' && replica.leaderId === message.from) campaign(replica, true);
}

/**
 * Entries or a heartbeat from the leader of this term.
 *
 * Everything at or below the commit index matches any later leader, so a request that starts there needs no proof, and
 * the tail is cut only at an entry whose term differs from the leader's at the same index (R03).
 */
export function onAppendRequest(replica: Replica, request: AppendRequest): void {
  replica.heardLeader(request.from);
  const { prevIndex, entries } = request;
  if (!hasPrevious(replica, request)) return refuse(replica, request);

  const fresh = firstFresh(replica, request);
  if (fresh < entries.length) {
    checkChain(request);
    for (let i = fresh; i < entries.length; i++) replica.append(entries[i]!);
  }
  // Only what this request proved, never the leader's commit index alone: behind it may be a stale tail (R04).
  const provenIndex = prevIndex + entries.length;
  const commitIndex = Math.min(request.commitIndex, provenIndex);
  if (commitIndex > replica.commitIndex) replica.commitThrough(commitIndex);
  accept(replica, request, Math.max(provenIndex, replica.commitIndex));
}

/** Whether the log holds the entry in front of the request's. */
function hasPrevious(replica: Replica, request: AppendRequest): boolean {
  const { prevIndex, prevTerm } = request;
  const { log, commitIndex } = replica;
  if (prevIndex > log.lastIndex) return false;
  if (prevIndex < log.firstIndex - 1) return true;
  const matches = log.termAt(prevIndex) === prevTerm;
  assert(matches || prevIndex > commitIndex, 'a leader has every committed entry');
  return matches;
}

/** Offset in the request of the first entry that the log lacks, or holds with another term. */
function firstFresh(replica: Replica, request: AppendRequest): number {
  const { log, commitIndex } = replica;
  const { entries, prevIndex } = request;
  for (let i = 0; i < entries.length; i++) {
    const index = prevIndex + 1 + i;
    if (index > log.lastIndex) return i;
    if (index < log.firstIndex) continue;
    if (log.termAt(index) === entries[i]!.term) continue;
    assert(index > commitIndex, 'a leader never contradicts a committed entry');
    return i;
  }
  return entries.length;
}

function checkChain(request: AppendRequest): void {
  const { entries, prevIndex } = request;
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i]!;
    assert(entry.index === prevIndex + 1 + i, 'the entries of a request have no gap');
    assert(entry.term <= request.term, 'no entry is from a later term than its leader');
    if (i > 0) {
      assert(entry.position === entryEnd(entries[i - 1]!), 'entries lie back to back');
    }
  }
}

/** @param knownIndex through here this log equals the leader's */
function accept(replica: Replica, request: AppendRequest, knownIndex: number): void {
  const writes = replica.effects.appends.length > 0;
  const matchIndex = writes ? knownIndex : Math.min(knownIndex, replica.durableIndex);
  const response: AppendResponse = {
    kind: 'append-response',
    from: replica.id,
    to: request.from,
    term: replica.term,
    success: true,
    matchIndex,
    conflictTerm: 0,
    conflictFirstIndex: 0,
    lastIndex: replica.log.lastIndex,
    sentAtMs: request.sentAtMs,
    readRound: request.readRound,
    recovery: replica.recovery,
    forgetful: replica.forgetful,
  };
  if (writes || replica.effects.hardState !== null) replica.sendAfterSync(response);
  else replica.send(response);
}

function refuse(replica: Replica, request: AppendRequest): void {
  const { log, commitIndex } = replica;
  const hintIndex = Math.min(request.prevIndex, log.lastIndex);
  assert(hintIndex >= commitIndex, 'a request is refused only above the commit index');
  const conflictFirstIndex =
    hintIndex === commitIndex
      ? hintIndex
      : Math.max(log.firstIndexOfTermAt(hintIndex), commitIndex + 1);
  const response: AppendResponse = {
    kind: 'append-response',
    from: replica.id,
    to: request.from,
    term: replica.term,
    success: false,
    matchIndex: request.prevIndex,
    conflictTerm: log.termAt(hintIndex),
    conflictFirstIndex,
    lastIndex: log.lastIndex,
    sentAtMs: request.sentAtMs,
    readRound: request.readRound,
    recovery: replica.recovery,
    forgetful: replica.forgetful,
  };
  if (replica.effects.hardState !== null) replica.sendAfterSync(response);
  else replica.send(response);
}

/** A leader of an earlier term does not know yet: the answer's term tells it, so that it steps down. */
export function refuseOldLeader(replica: Replica, request: AppendRequest): void {
  replica.send({
    kind: 'append-response',
    from: replica.id,
    to: request.from,
    term: replica.term,
    success: false,
    matchIndex: request.prevIndex,
    conflictTerm: 0,
    conflictFirstIndex: 0,
    lastIndex: replica.log.lastIndex,
    sentAtMs: request.sentAtMs,
    readRound: request.readRound,
    recovery: replica.recovery,
    forgetful: replica.forgetful,
  });
}
