import { type Clock, type Disk, type Logger } from '@raftmq/base';
import { type CommitLog } from '@raftmq/broker-store';
import { type Proposal, type StateMachine } from '@raftmq/raft';
import { type SimDisk } from './disk.js';
import { type Life } from './event-heap.js';

/** What a process has when its application starts up: its log is open, its driver is not made yet. */
export interface ApplicationContext {
  readonly life: Life;
  readonly clock: Clock;
  readonly disk: Disk;
  /** The same disk as the machine has it, for stand-ins of what is no file. */
  readonly machineDisk: SimDisk;
  readonly log: CommitLog;
  /** The machine's data directory on the simulated disk. */
  readonly directory: string;
  readonly logger: Logger;
  /** Something failed that a process does not survive. */
  readonly onFatal: (error: unknown) => void;
}

/** What takes proposals, and confirms that it leads: the driver. */
export interface Proposer {
  propose(proposal: Proposal): void;
  readIndex(): Promise<number>;
}

/** One process's part above Raft: the state machine, and whatever lives on it. */
export interface Application {
  readonly stateMachine: StateMachine;
  readonly appliedIndex: number;
  /** Log entries through here are not needed to start again after a power cut. */
  readonly durableIndex: number;
  /** A sum over the whole state: equal on two nodes that applied the same entries. */
  digest(): string;
  /** The driver is made, and about to start. */
  attach(proposer: Proposer): void;
  /** The driver runs. */
  started(): void;
  /** The first step of a clean stop: nobody is served any more. */
  stopServing(): void;
  /** The last step of a clean stop: nothing is applied any more. */
  close(): Promise<void>;
}

/** The lasting half of an application on one machine: what its processes leave behind, and how a new one begins. */
export interface ApplicationHost<A extends Application = Application> {
  open(context: ApplicationContext): Promise<A>;
  /** The machine lost power: what was not flushed may be gone. Called after the process died. */
  powerCut(): void;
}
