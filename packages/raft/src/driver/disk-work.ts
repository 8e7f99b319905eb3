import { MqError, type Clock } from '@raftmq/base';
import { type Entry } from '../core/entry.js';
import { type Effects, type HardState, type Message } from '../core/types.js';
import { type HardStateStore, type LogStorage } from '../ports.js';
import { DiskGate, type GatedStep } from './disk-gate.js';
import { type RaftProbe } from './probe.js';

export interface DiskWorkOptions {
  readonly log: LogStorage;
  readonly hardState: HardStateStore;
  readonly clock: Clock;
  readonly probe: RaftProbe;
  /** Sends what had to wait for the disk; `term` was the core's when it was made. */
  readonly send: (messages: readonly Message[], term: number) => void;
  /** Appends through `throughIndex`, and all disk work before them, are durable; `term` was the core's at their step. */
  readonly synced: (throughIndex: number, term: number) => void;
  /** An own append finished, perhaps behind others that have not: the disk has room for the next batch. */
  readonly appendEnded: () => void;
  /** A write or sync failed: nothing may leave any more (R25). */
  readonly failed: (error: unknown) => void;
}

/** Carries out the disk half of the core's effects, and tells what is durable when it is. */
export class DiskWork {
  readonly #options: DiskWorkOptions;
  readonly #gate = new DiskGate((step) => this.#release(step));
  #hardStateSaves: Promise<void> = Promise.resolve();
  #appendsInFlight = 0;
  #writesInFlight = 0;
  #halted = false;
  #idle: (() => void) | null = null;

  constructor(options: DiskWorkOptions) {
    this.#options = options;
  }

  /** Calls of `append` that have not resolved. */
  get appendsInFlight(): number {
    return this.#appendsInFlight;
  }

  /**
   * Starts the writes of one step and holds back its `sendAfterSync`; without writes, under way or new, that leaves
   * at once.
   * @param term the core's term right after the step
   */
  carryOut(effects: Effects, term: number): void {
    const { hardState, appends, sendAfterSync } = effects;
    const writes = (hardState === null ? 0 : 1) + (appends.length === 0 ? 0 : 1);
    if (writes === 0 && sendAfterSync.length === 0) return;
    const step: GatedStep = {
      pending: writes,
      messages: sendAfterSync,
      appendedThrough: appends.length === 0 ? 0 : appends[appends.length - 1]!.index,
      term,
    };
    this.#gate.enter(step);
    if (hardState !== null) this.#save(hardState, step);
    if (appends.length > 0) this.#append(appends, step);
  }

  /** Nothing is released from now on. */
  halt(): void {
    this.#halted = true;
    this.#gate.clear();
  }

  /** Resolves when no write is under way. */
  async idle(): Promise<void> {
    if (this.#writesInFlight > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
  }

  #save(hardState: HardState, step: GatedStep): void {
    this.#options.probe.hardStateSaves++;
    this.#writesInFlight++;
    // One after the other: an older record must never land behind a newer one.
    this.#hardStateSaves = this.#hardStateSaves
      .then(() => this.#options.hardState.save(hardState))
      .then(
        () => this.#wrote(step),
        (error: unknown) => this.#writeFailed(error),
      );
  }

  #append(entries: readonly Entry[], step: GatedStep): void {
    const { log, clock } = this.#options;
    const startedAtMs = clock.monotonicMs();
    this.#appendsInFlight++;
    this.#writesInFlight++;
    const last = entries[entries.length - 1]!;
    const appended = log.append(entries);
    appended.then(
      () => {
        this.#appendsInFlight--;
        this.#countAppend(clock.monotonicMs() - startedAtMs);
        this.#wrote(step);
        if (!this.#halted) this.#options.appendEnded();
      },
      (error: unknown) => this.#writeFailed(error),
    );
    // A log that failed in the background refuses without effect. What it shows then may be a tail that the core has
    // just replaced: nothing may be read from it, not even in this turn.
    if (log.lastIndex !== last.index || log.termAt(last.index) !== last.term) {
      throw new MqError(
        'DISK_FAILED',
        'the log takes no entries any more: an earlier write or sync failed; restart this process',
      );
    }
  }

  #countAppend(latencyMs: number): void {
    const { probe } = this.#options;
    probe.appends++;
    probe.appendLatencySumMs += latencyMs;
    if (latencyMs > probe.appendLatencyMaxMs) probe.appendLatencyMaxMs = latencyMs;
  }

  #wrote(step: GatedStep): void {
    this.#writeEnded();
    if (this.#halted) return;
    try {
      this.#gate.done(step);
    } catch (error) {
      this.#options.failed(error);
    }
  }

  #release(step: GatedStep): void {
    if (this.#halted) return;
    if (step.messages.length > 0) this.#options.send(step.messages, step.term);
    if (step.appendedThrough > 0) this.#options.synced(step.appendedThrough, step.term);
  }

  #writeFailed(error: unknown): void {
    this.#writeEnded();
    this.#options.failed(error);
  }

  #writeEnded(): void {
    this.#writesInFlight--;
    if (this.#writesInFlight === 0 && this.#idle !== null) this.#idle();
  }
}
