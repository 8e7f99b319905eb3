import { type Entry } from '@raftmq/raft';
import { type Application, type ApplicationHost } from './application.js';
import { type SimNode } from './node.js';

/** What a load tells the summary of a run. */
export interface LoadCounts {
  /** Requests that were acknowledged as lasting. */
  readonly acked: number;
  /** Requests that only read. */
  readonly reads: number;
}

/** Clients of a cluster, and what they may expect of it. */
export interface Load<A extends Application = Application> {
  readonly counts: LoadCounts;
  /** The lasting half of the application on one machine; asked once per node, before anything else. */
  host(node: number): ApplicationHost<A>;
  start(nodes: readonly SimNode<A>[]): void;
  /** No new requests, except those that {@link finish} needs. */
  stop(): void;
  /** A process ended, and with it everyone who waited for it. */
  nodeDied(node: SimNode<A>): void;
  /** The next entry of the one committed history, with the results of its records. */
  committed(entry: Entry, results: readonly unknown[]): void;
  /** Acknowledged or not, the committed entries behind `index` are on no disk any more, and others may take their place. */
  lostBehind(index: number): void;
  /** Entries from here on must stay in every log, whatever the state was saved with. */
  keepFromIndex(): number;
  /** Whether the state is summed up right after the entry with this index. */
  digestAt(index: number): boolean;
  /**
   * All faults are over and someone leads: brings everything to its end.
   * @returns what could not be done, null when all is done
   */
  finish(leader: () => SimNode<A> | null, within: Within): Promise<string | null>;
  /** The last word, once all nodes have agreed. @throws Violation */
  verdict(): Promise<void>;
  /** The node was killed for the last time, to see that it comes back to the same state. */
  beforeLastStart(node: SimNode<A>): void;
}

/** Runs the world until `done` holds or the time is over. */
export type Within = (done: () => boolean) => Promise<void>;
