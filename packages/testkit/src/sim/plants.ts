import { type Entry, type HardState, type HardStateStore, type LogStorage } from '@raftmq/raft';
import { WatchedLog } from './watched-log.js';

/** Mistakes that can be planted on purpose, to see that the simulator finds them. */
export const plants = {
  'ack-before-sync': {
    workload: 'raft',
    what: 'appends count as durable as soon as they are asked for',
  },
  'vote-not-synced': {
    workload: 'raft',
    what: 'term and vote count as durable as soon as they are asked for',
  },
  'commit-old-term': {
    workload: 'raft',
    what: 'a leader commits entries of earlier terms by counting replicas',
  },
  'power-cuts-forgotten': {
    workload: 'raft',
    what: 'with ASYNC_FLUSH, a replica whose machine lost power votes as if it had lost nothing',
  },
  'disk-errors-ignored': {
    workload: 'raft',
    what: 'a process goes on after a write or a sync of its disk failed',
  },
  'ack-any-lease': {
    workload: 'broker',
    what: 'an ack counts whoever holds the message by now',
  },
  'attempts-forgotten': {
    workload: 'broker',
    what: 'nobody remembers for which attempt of its client a lease was granted',
  },
  'sends-forgotten': {
    workload: 'broker',
    what: 'a message that is sent again is stored again',
  },
  'fired-timers-kept': {
    workload: 'broker',
    what: 'checkpoints leave timers that are over in the store',
  },
  'outcomes-not-saved': {
    workload: 'broker',
    what: 'checkpoints forget how transactions ended',
  },
  'progress-not-saved': {
    workload: 'broker',
    what: 'checkpoints forget where groups stand in the queues',
  },
  'renewals-ignored': {
    workload: 'broker',
    what: 'the log says that a lease is renewed, and it ends as it would have',
  },
  'deleted-topics-kept': {
    workload: 'broker',
    what: 'checkpoints keep where groups stood in topics that are deleted',
  },
  'subscriptions-not-saved': {
    workload: 'broker',
    what: 'checkpoints forget who takes from which lite topics',
  },
} as const;
export type Plant = keyof typeof plants;

export function isPlant(name: string): name is Plant {
  return Object.hasOwn(plants, name);
}

/** A log whose appends resolve before anything is on disk. */
export class HastyLog extends WatchedLog {
  constructor(log: LogStorage) {
    super(log, () => undefined);
  }

  override append(entries: readonly Entry[]): Promise<void> {
    super.append(entries).catch(() => undefined);
    return Promise.resolve();
  }
}

/** A hard-state store whose saves resolve before anything is on disk. */
export class HastyHardStateStore implements HardStateStore {
  readonly #store: HardStateStore;

  constructor(store: HardStateStore) {
    this.#store = store;
  }

  load(): Promise<HardState> {
    return this.#store.load();
  }

  save(state: HardState): Promise<void> {
    this.#store.save(state).catch(() => undefined);
    return Promise.resolve();
  }
}
