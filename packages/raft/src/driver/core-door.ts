import { MqError, type Prng } from '@raftmq/base';
import { type Effects, type HardState, type Input, type NodeId, type Role } from '../core/types.js';
import { type LogStorage } from '../ports.js';

/** Settings of the core. */
export type RaftCoreConfig = Readonly<Record<string, number>>;

/** What the driver needs of the core. */
export interface Core {
  step(input: Input, nowMs: number, wallMs: number): Effects;
  readonly role: Role;
  readonly term: number;
  readonly leaderId: NodeId | null;
  readonly votedFor: NodeId | null;
  readonly commitIndex: number;
  readonly canPropose: boolean;
  readonly noopIndex: number | null;
  leaseValid(nowMs: number): boolean;
}

export interface CoreOptions {
  readonly id: NodeId;
  readonly voters: readonly NodeId[];
  readonly config: Partial<RaftCoreConfig>;
  readonly log: LogStorage;
  readonly hardState: HardState;
  readonly random: Prng;
}

/** Builds the core of one replica. */
export function createCore(_options: CoreOptions): Core {
  throw new MqError('NOT_IMPLEMENTED', 'the core is not linked yet');
}
