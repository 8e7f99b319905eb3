import { type LeaderState } from './leader-state.js';
import { appendNoop } from './own-entries.js';
import { type Progress } from './progress.js';
import { type Replica } from './replica.js';
import { type Admission } from './types.js';

/**
 * A replica that lost its disk, or got an old one back, has forgotten votes that it gave and entries that it
 * acknowledged (R22). Until a leader admits it again it gets entries, but neither votes nor counts:
 *
 *   recovering replica           leader
 *     |--- any answer, recovery=n ->|  appends a no-op X, once for each n
 *     |<------------ … entries … X -|  commits X, by a majority of which n is no part
 *     |--- match >= X, recovery=n ->|
 *     |<- admission recovery=n, X --|
 *   takes part                      counts it from its next answer on
 *
 * Why X, and not the commit index of that moment: nobody who holds X votes for a log without X, so no vote that this
 * replica gave before can elect anybody any more. `docs/adr/0006-lost-disk.md` has the argument.
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
  replica.endRecovery();
  replica.effects.admittedAt = admission.index;
}

/**
 * What the peers know about this replica changed: they know it as another one, and so it has to recover; or all of them
 * know it as it is, in a group that is just beginning.
 */
export function onStanding(replica: Replica, takesPart: boolean): void {
  if (takesPart === (replica.recovery === 0)) return;
  if (takesPart) return replica.endRecovery();
  if (replica.role !== 'follower') replica.becomeFollower(replica.term, null);
  replica.startRecovery();
}
