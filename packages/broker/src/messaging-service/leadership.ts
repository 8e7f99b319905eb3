import { MqError } from '@raftmq/base';
import { type RoleStatus } from '@raftmq/raft';

/** Whether this replica answers clients: it leads, may write, and does not stop. */
export class Leadership {
  #role: RoleStatus = { role: 'follower', term: 0, leaderId: null, writable: false };
  #stopped = false;

  get role(): RoleStatus {
    return this.#role;
  }

  /** null while clients are answered; else what they are told. */
  refusal(): MqError | null {
    return this.#role.writable && !this.#stopped ? null : notLeading();
  }

  /** @throws MqError HA_NOT_AVAILABLE */
  need(): void {
    const refusal = this.refusal();
    if (refusal !== null) throw refusal;
  }

  /** @returns what the new role means: a reign began, or the last one ended */
  become(status: RoleStatus): 'began' | 'ended' | null {
    const before = this.#role;
    this.#role = status;
    if (status.writable) return before.writable && before.term === status.term ? null : 'began';
    return before.writable ? 'ended' : null;
  }

  /** For good. */
  stop(): void {
    this.#stopped = true;
  }
}

/** What a replica says that does not lead. */
export function notLeading(): MqError {
  return new MqError('HA_NOT_AVAILABLE', 'this replica does not lead its group; ask the leader');
}
