import { LogGate, type Logger } from '@raftmq/base';
import { type RaftCore } from '../core/raft-core.js';
import { type Effects, type NodeId } from '../core/types.js';
import { type MemoryStore, type StandingStore } from '../ports.js';
import { type RaftProbe } from './probe.js';

/** How often a replica says that it waits for others. */
const WAIT_LOG_INTERVAL_MS = 10_000;

export interface RecoveryOptions {
  readonly standing: StandingStore | undefined;
  readonly memory: MemoryStore | undefined;
  readonly logger: Logger;
  readonly probe: RaftProbe;
  readonly peers: readonly NodeId[];
  readonly isConnected: (peer: NodeId) => boolean;
  /** A store could not be written: the process must stop. */
  readonly failed: (error: unknown) => void;
}

/** Notes on disk when a replica takes part again (R22, R23), and tells people what that needed, or still needs. */
export class Recovery {
  readonly #options: RecoveryOptions;
  readonly #gate = new LogGate(WAIT_LOG_INTERVAL_MS);

  constructor(options: RecoveryOptions) {
    this.#options = options;
  }

  stepped({ admittedAt, remembers }: Effects): void {
    if (admittedAt !== null) this.#admitted(admittedAt);
    if (remembers) this.#remembers();
  }

  /** A new role was published. */
  roleChanged(core: RaftCore, nowMs: number): void {
    if (core.role === 'leader' && core.electedByAll) this.#electedByAll(core);
    else if (core.role === 'pre-candidate' && core.recovery === 'forgetful') this.#waits(nowMs);
  }

  #admitted(index: number): void {
    const { standing, logger, failed } = this.#options;
    logger.info({ index }, 'a leader admitted this replica: it takes part again');
    standing?.admitted(index).catch(failed);
  }

  #remembers(): void {
    const { memory, logger, failed } = this.#options;
    if (memory?.forgetful !== true) return;
    logger.info({}, 'the log has again what this replica acknowledged: it takes part');
    memory.remembers().catch(failed);
  }

  #electedByAll(core: RaftCore): void {
    this.#options.probe.electionsByAll++;
    this.#options.logger.error(
      { lastIndex: core.lastIndex },
      'too many replicas lost power, or had a disk error, before their last flush: the best log that is left leads, and ' +
        'messages that were acknowledged in the moments before may be lost',
    );
  }

  #waits(nowMs: number): void {
    const { logger, peers, isConnected } = this.#options;
    const missing = peers.filter((peer) => !isConnected(peer));
    if (missing.length === 0) return;
    const suppressed = this.#gate.pass(nowMs);
    if (suppressed === null) return;
    logger.warn(
      { missing, suppressed },
      'no leader, and this replica may have lost what it acknowledged: it waits for a leader, or for all replicas of its group',
    );
  }
}
