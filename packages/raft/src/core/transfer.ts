import { type LeaderState } from './leader-state.js';
import { type Progress } from './progress.js';
import { type Replica } from './replica.js';
import { type NodeId } from './types.js';

/**
 * Handing leadership over (R11, Raft thesis section 3.10): close proposals and the lease, let the target catch up,
 * tell it to campaign at once, and take everything back when that did not work within one election timeout.
 * Refused without effect: a target that is no other voter, nobody to hand over to, a transfer already under way.
 */
export function startTransfer(replica: Replica, leader: LeaderState, target: NodeId | null): void {
  if (leader.transferTarget !== null) return;
  const progress = chooseTarget(replica, leader, target);
  if (progress === null) return;
  leader.transferTarget = progress.id;
  leader.transferDeadlineMs = replica.nowMs + replica.config.electionTimeoutMinMs;
  leader.transferSent = false;
  continueTransfer(replica, leader);
}

/** Sends the hand-over as soon as the target has the whole log. */
export function continueTransfer(replica: Replica, leader: LeaderState): void {
  if (leader.transferTarget === null || leader.transferSent) return;
  const progress = leader.progressOf(leader.transferTarget);
  if (progress.matchIndex < replica.log.lastIndex) return;
  leader.transferSent = true;
  replica.send({
    kind: 'timeout-now',
    from: replica.id,
    to: progress.id,
    term: replica.term,
  });
}

/** Opens proposals again: the deadline passed, or the target is gone. */
export function abortTransfer(leader: LeaderState): void {
  leader.transferTarget = null;
  leader.transferSent = false;
}

/** The named peer; or, with null, the one with most of the log among those heard within the lease. */
function chooseTarget(
  replica: Replica,
  leader: LeaderState,
  target: NodeId | null,
): Progress | null {
  let best: Progress | null = null;
  for (const progress of leader.progress) {
    if (progress.recovery !== 0) continue;
    if (target !== null) {
      if (progress.id === target) return progress;
      continue;
    }
    if (progress.contactMs + replica.config.leaseMs <= replica.nowMs) continue;
    if (progress.state === 'needs-install') continue;
    if (best === null || progress.matchIndex > best.matchIndex) best = progress;
  }
  return best;
}
