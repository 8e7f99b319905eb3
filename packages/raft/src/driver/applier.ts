import { type Clock } from '@raftmq/base';
import { entryEnd, type Entry } from '../core/entry.js';
import { type LogStorage, type StateMachine } from '../ports.js';
import { type RaftProbe } from './probe.js';
import { type WaitingEntries } from './waiting-entries.js';

/** Bytes taken from the log in one read; a slice is made of several. */
const READ_BYTES_MAX = 1024 * 1024;

export interface ApplierOptions {
  readonly log: LogStorage;
  readonly stateMachine: StateMachine;
  readonly waiting: WaitingEntries;
  readonly probe: RaftProbe;
  readonly clock: Clock;
  readonly applySliceBytes: number;
  readonly applySliceMs: number;
}

/** Feeds committed entries to the state machine, in log order, a slice per turn, and settles who waits for them. */
export class Applier {
  readonly #options: ApplierOptions;
  #appliedIndex: number;
  #appliedEndPosition = 0;

  constructor(options: ApplierOptions) {
    this.#options = options;
    this.#appliedIndex = options.stateMachine.appliedIndex;
  }

  /** The last entry the state machine has seen; may lie behind the log's end after a power cut. */
  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  /** Position right behind the last entry applied in this life of the process; 0 before the first one. */
  get appliedEndPosition(): number {
    return this.#appliedEndPosition;
  }

  /**
   * Applies through `throughIndex`, or less when the slice is full.
   * @returns whether everything through `throughIndex` is applied
   * @throws MqError LOG_CORRUPTED from the log; whatever the state machine throws: both end the process
   */
  run(throughIndex: number): boolean {
    if (this.#appliedIndex >= throughIndex) return true;
    const { log, stateMachine, clock, applySliceBytes, applySliceMs } = this.#options;
    const endsAtMs = clock.monotonicMs() + applySliceMs;
    let leftBytes = applySliceBytes;
    while (this.#appliedIndex < throughIndex && leftBytes > 0) {
      const entries = log.read(
        this.#appliedIndex + 1,
        throughIndex,
        Math.min(READ_BYTES_MAX, leftBytes),
      );
      for (const entry of entries) {
        this.#apply(entry);
        leftBytes -= entry.frame.length;
      }
      if (clock.monotonicMs() >= endsAtMs) break;
    }
    stateMachine.applied();
    return this.#appliedIndex >= throughIndex;
  }

  #apply(entry: Entry): void {
    const { stateMachine, waiting, probe, clock } = this.#options;
    const results: unknown[] | null = !waiting.isEmpty && waiting.expects(entry) ? [] : null;
    stateMachine.apply(entry, results);
    this.#appliedIndex = entry.index;
    this.#appliedEndPosition = entryEnd(entry);
    probe.appliedEntries++;
    probe.appliedBytes += entry.frame.length;
    if (waiting.isEmpty) return;
    const settled = waiting.applied(entry, results);
    probe.rejectedLost += settled.lostProposals;
    if (settled.committedEntries === 0) return;
    const latencyMs = clock.monotonicMs() - settled.sealedAtMs;
    probe.settledEntries++;
    probe.commitLatencySumMs += latencyMs;
    if (latencyMs > probe.commitLatencyMaxMs) probe.commitLatencyMaxMs = latencyMs;
  }
}
