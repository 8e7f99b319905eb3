import { type CancelTimer, type Clock, type Logger } from '@raftmq/base';
import {
  type CommitLogReader,
  type MessageIndex,
  type QueueIndex,
  type RowChanges,
  type StateStore,
} from '@raftmq/broker-store';
import { type StateSettings } from './settings.js';
import { type BrokerStateMachine } from './state-machine.js';

export interface CheckpointsOptions {
  readonly state: BrokerStateMachine;
  readonly queueIndex: QueueIndex;
  readonly messageIndex?: Pick<MessageIndex, 'dropBelow'>;
  readonly stateStore: StateStore;
  readonly log: Pick<CommitLogReader, 'firstPosition' | 'makeDurable'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly settings: Omit<
    StateSettings,
    'sendDedupWindowMs' | 'sendDedupMax' | 'sendDedupRebuildBytes'
  >;
  /** A save failed: the process has to stop. */
  readonly onFatal: (error: unknown) => void;
}

/**
 * Saves the changed rows together with the applied index: every now and then, early after much log or when many rows
 * have changed, and at a clean stop.
 * Order of a checkpoint: rows are taken in one go, log and queue index are synced, then rows and index go out in one
 * batch. So the queue files always reach at least as far as the saved rows say, and so does the log: an entry may be
 * applied before it is on this replica's own disk, and rows that outlive it would count one that is gone.
 */
export class Checkpoints {
  readonly #options: CheckpointsOptions;
  /** In the store, perhaps only in its buffers. */
  #savedIndex: number;
  #durableIndex: number;
  #flushedAtMs: number;
  #savedAppliedBytes = 0;
  #droppedBelow = 0;
  #running: Promise<void> | null = null;
  #cancelTimer: CancelTimer = () => undefined;
  #stopped = false;

  constructor(options: CheckpointsOptions) {
    this.#options = options;
    this.#savedIndex = options.state.appliedIndex;
    this.#durableIndex = 0;
    this.#flushedAtMs = options.clock.monotonicMs();
    options.state.setUnsavedLimit(options.settings.checkpointRowsMax, () => this.#saveEarly());
  }

  /**
   * Entries through here are in rows that survive a power cut: the log before is not needed to start again. Follows the
   * checkpoints at a distance, as making the store durable costs more than writing to it.
   */
  get savedIndex(): number {
    return this.#durableIndex;
  }

  start(): void {
    if (!this.#stopped) this.#armTimer();
  }

  /**
   * Saves what has changed. Calls while one is running wait for it, and for one more when there is something new.
   * @throws what the store threw; `onFatal` was told then
   */
  async save(): Promise<void> {
    const { state } = this.#options;
    while (this.#running !== null) await this.#running;
    if (state.appliedIndex === (this.#stopped ? this.#durableIndex : this.#savedIndex)) return;
    this.#running = this.#saveNow();
    try {
      await this.#running;
    } catch (error) {
      this.#options.onFatal(error);
      throw error;
    } finally {
      this.#running = null;
    }
  }

  /** Ends the loop with a last checkpoint. Nothing may be applied any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer();
    await this.save();
  }

  /** Whatever comes in while rows are being saved is looked at again with the next entries. */
  #saveEarly(): void {
    if (this.#running !== null || this.#stopped) return;
    this.#options.state.probe.checkpointsEarly++;
    this.save().catch(() => undefined);
  }

  #armTimer(): void {
    const { clock, settings } = this.#options;
    // The size of the log is looked at more often than the interval asks for: it may grow fast.
    const delayMs = Math.min(settings.checkpointIntervalMs, 1_000);
    const startedAtMs = clock.monotonicMs();
    const check = (): void => {
      this.#options.state.recentSends?.forgetOld(clock.wallMs());
      const intervalOver = clock.monotonicMs() - startedAtMs >= settings.checkpointIntervalMs;
      const newBytes = this.#options.state.appliedBytes - this.#savedAppliedBytes;
      if (!intervalOver && newBytes < settings.checkpointLogBytes) {
        this.#cancelTimer = clock.setTimer(delayMs, check);
        return;
      }
      this.save().then(
        () => {
          if (!this.#stopped) this.#armTimer();
        },
        () => undefined,
      );
    };
    this.#cancelTimer = clock.setTimer(delayMs, check);
  }

  async #saveNow(): Promise<void> {
    const { state, queueIndex, stateStore, log, clock, logger, settings } = this.#options;
    const startedAtMs = clock.monotonicMs();
    if (log.firstPosition > this.#droppedBelow) {
      this.#droppedBelow = log.firstPosition;
      queueIndex.dropBelow(log.firstPosition);
      this.#options.messageIndex?.dropBelow(log.firstPosition);
    }
    this.#savedAppliedBytes = state.appliedBytes;
    const capture = state.capture();
    await log.makeDurable();
    await queueIndex.flush();
    const { rows, cold } = capture;
    await stateStore.save(capture.appliedIndex, rows, cold);
    this.#savedIndex = capture.appliedIndex;
    const flushDue = clock.monotonicMs() - this.#flushedAtMs >= settings.stateFlushIntervalMs;
    if (this.#stopped || flushDue) {
      await stateStore.flush();
      this.#flushedAtMs = clock.monotonicMs();
      this.#durableIndex = capture.appliedIndex;
    }
    state.captureSaved(capture);
    const tookMs = clock.monotonicMs() - startedAtMs;
    const { probe } = state;
    probe.checkpoints++;
    probe.checkpointRows += rowCount(rows) + rowCount(cold);
    if (tookMs > probe.checkpointMsMax) probe.checkpointMsMax = tookMs;
    logger.debug(
      {
        appliedIndex: capture.appliedIndex,
        rows: rowCount(rows),
        coldRows: rowCount(cold),
        tookMs,
      },
      'checkpoint saved',
    );
  }
}

function rowCount(changes: RowChanges): number {
  return changes.puts.size + changes.deletes.size;
}
