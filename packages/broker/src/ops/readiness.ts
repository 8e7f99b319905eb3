import { type NodeId, type RecoveryKind, type RoleStatus } from '@raftmq/raft';

/** What readiness is judged by. */
export interface ReadinessSource {
  readonly role: () => RoleStatus;
  readonly recovery: () => RecoveryKind;
  /** Replicas of the group that this one is not connected to. */
  readonly missing: () => readonly NodeId[];
  readonly commitIndex: () => number;
  readonly appliedIndex: () => number;
  readonly diskRefusing: () => boolean;
  readonly draining: () => boolean;
  readonly lagEntriesMax: number;
}

/** Why a replica is not ready, by a fixed word and in a sentence. */
export interface UnreadyReason {
  readonly reason: 'no-leader' | 'recovering' | 'catching-up' | 'behind' | 'disk-full' | 'draining';
  readonly detail: string;
}

/**
 * Judges whether clients should be sent here. A replica is ready when it knows a leader (or is a writable one), has once
 * since its start applied all that was committed, keeps up, has a full vote, has disk space, and does not stop.
 */
export class Readiness {
  readonly #source: ReadinessSource;
  #caughtUp = false;

  constructor(source: ReadinessSource) {
    this.#source = source;
  }

  /** @returns nothing when ready */
  reasons(): readonly UnreadyReason[] {
    const { role, commitIndex, appliedIndex, diskRefusing, draining, lagEntriesMax } = this.#source;
    const reasons: UnreadyReason[] = [];
    const status = role();
    const lag = Math.max(0, commitIndex() - appliedIndex());
    const led = status.role === 'leader' ? status.writable : status.leaderId !== null;
    if (!led) {
      reasons.push({ reason: 'no-leader', detail: `no leader is known in term ${status.term}` });
    } else if (lag === 0 && commitIndex() > 0) {
      this.#caughtUp = true;
    }
    const recovering = this.#recovering(led);
    if (recovering !== null) reasons.push({ reason: 'recovering', detail: recovering });
    if (!this.#caughtUp) {
      reasons.push({
        reason: 'catching-up',
        detail: `${lag} committed entries are not applied yet since the start`,
      });
    } else if (lag > lagEntriesMax) {
      reasons.push({
        reason: 'behind',
        detail: `${lag} committed entries are not applied yet; at most ${lagEntriesMax} may be`,
      });
    }
    if (diskRefusing())
      reasons.push({
        reason: 'disk-full',
        detail: 'the disk is above the upper mark; sends are refused',
      });
    if (draining()) reasons.push({ reason: 'draining', detail: 'the process is stopping' });
    return reasons;
  }

  /** A group that is restarted one by one must not go on before this one's vote counts again. */
  #recovering(led: boolean): string | null {
    const recovery = this.#source.recovery();
    if (recovery === 'none') return null;
    if (recovery === 'lost-disk')
      return 'this replica is new to its group, or lost its disk: it waits for a leader to admit it';
    const why = 'the end of the log may be missing after a power cut or a disk error';
    if (led) return `${why}: the leader brings this replica up to date`;
    const missing = this.#source.missing();
    const which = missing.length === 0 ? 'all are there' : `not there: ${missing.join(', ')}`;
    return `${why}: without a leader, one is elected when all replicas are there (${which})`;
  }
}
