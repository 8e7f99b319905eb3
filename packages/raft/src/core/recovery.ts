import { type LeaderState } from './leader-state.js';
import { appendNoop } from './own-entries.js';
import { type Progress } from './progress.js';
import { type Replica } from './replica.js';
import { type Admission } from './types.js';

/**
 * A replica that forgot something gets entries as any other, until the leader admits it:
 *
 *   recovering replica           leader
 *     |--- any answer, recovery=n ->|  appends a no-op X, once for each n
 *     |<------------ … entries … X -|  commits X
 *     |--- match >= X, recovery=n ->|
 *     |<- admission recovery=n, X --|
 *   takes part                      relies on it from its next answer on
 *
 * There are two kinds, by what is gone:
 *
 * - Its disk, or it has an old one back (R22): votes and entries. It neither votes nor counts, so X is committed without
 *   it. Why X, and not the commit index of that moment: nobody who holds X votes for a log without X, so no vote that
 *   this replica gave before can elect anybody any more. `docs/adr/0006-lost-disk.md` has the argument.
 * - The end of its log, when its machine lost power before a flush (R23): it remembers its votes, and what it
 *   acknowledges now it has, so it counts. But a candidate's log is not compared with what it forgot: its vote counts
 *   only where all voted (`voteResult`). `docs/adr/0010-power-cut.md` has the argument.
 */
export function continueAdmission(replica: Replica, leader: LeaderState, progress: Progress): void {
  if (progress.recovery === 0) return;
  if (progress.admissionIndex === 0) {
    // During a transfer nothing is appended; the answer to the next heartbeat comes back here.
    if (leader.transferTarget !== null) return;
    progress.admissionIndex = replica.log.lastIndex + 1;
    appendNoop(replica, leader);
    return;
  }
  const index = progress.admissionIndex;
  if (replica.commitIndex < index || progress.matchIndex < index) return;
  replica.send({
    kind: 'admission',
    from: replica.id,
    to: progress.id,
    term: replica.term,
    recovery: progress.recovery,
    index,
  });
}

/** The leader of this term counts on this replica again. Late ones, for a recovery of before, mean nothing. */
export function onAdmission(replica: Replica, admission: Admission): void {
  if (replica.recovery === 0 || admission.recovery !== replica.recovery) return;
  if (replica.leaderId !== admission.from || replica.durableIndex < admission.index) return;
  if (replica.lostDisk) replica.effects.admittedAt = admission.index;
  endRecovery(replica);
}

/**
 * What the peers know about this replica changed: they know it as another one, and so it has to recover; or all of them
 * know it as it is, in a group that is just beginning.
 */
export function onStanding(replica: Replica, takesPart: boolean): void {
  if (takesPart === !replica.lostDisk) return;
  if (takesPart) return endRecovery(replica);
  if (replica.role !== 'follower') replica.becomeFollower(replica.term, null);
  replica.startRecovery(true);
}

function endRecovery(replica: Replica): void {
  replica.endRecovery();
  replica.resetElectionTimer();
}
