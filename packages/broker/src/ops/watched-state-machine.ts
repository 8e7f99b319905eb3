import { type Entry, type RoleStatus, type StateMachine } from '@raftmq/raft';

/** A state machine whose topics carry a version. */
export interface VersionedStateMachine extends StateMachine {
  /** Grows with every change of a topic, while the process lives. */
  readonly topicsVersion: number;
}

/**
 * Passes everything on, and tells when something changed that NameServers have to hear: role, term, leader or topics.
 * Its `topicsVersion` is an applied index, so that the versions of different replicas can be compared: a list with a
 * higher version knows every change that one with a lower version knows.
 */
export class WatchedStateMachine implements StateMachine {
  readonly #inner: VersionedStateMachine;
  readonly #changed: () => void;
  #seenVersion: number;
  #versionIndex: number;

  constructor(inner: VersionedStateMachine, changed: () => void) {
    this.#inner = inner;
    this.#changed = changed;
    this.#seenVersion = inner.topicsVersion;
    this.#versionIndex = inner.appliedIndex;
  }

  get appliedIndex(): number {
    return this.#inner.appliedIndex;
  }

  get topicsVersion(): number {
    if (this.#inner.topicsVersion !== this.#seenVersion) {
      this.#seenVersion = this.#inner.topicsVersion;
      this.#versionIndex = this.#inner.appliedIndex;
    }
    return this.#versionIndex;
  }

  apply(entry: Entry, results: unknown[] | null): void {
    this.#inner.apply(entry, results);
  }

  roleChanged(status: RoleStatus): void {
    this.#inner.roleChanged(status);
    this.#changed();
  }

  applied(): void {
    this.#inner.applied();
    const before = this.#versionIndex;
    if (this.topicsVersion !== before) this.#changed();
  }
}
