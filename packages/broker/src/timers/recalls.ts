import { isMqError, MqError } from '@raftmq/base';
import { RecallHandles, type RecallHandle } from '@raftmq/protocol';
import { type RecordsProposer } from '../messaging-service/proposals.js';
import { type Tables } from '../state/tables.js';
import { timerKey, type TimerName } from '../state/timers-row.js';
import { type TimerProbe } from './probe.js';
import { type TimerWindow } from './timer-window.js';

export interface RecallsOptions {
  readonly tables: Tables;
  readonly window: TimerWindow;
  readonly records: RecordsProposer;
  readonly probe: TimerProbe;
  readonly recallEnable: boolean;
  /** Part of every handle. */
  readonly brokerGroup: string;
  /** A timer that was claimed waits again. */
  readonly released: () => void;
}

/** Takes waiting messages back, each once: a second recall of the same one joins the first. */
export class Recalls {
  readonly #options: RecallsOptions;
  #running = new Map<number, Promise<void>>();
  #handles: RecallHandles | null = null;

  constructor(options: RecallsOptions) {
    this.#options = options;
  }

  /** The leadership began or ended. */
  reset(): void {
    this.#running = new Map();
  }

  /** The handle of a waiting message; '' while nothing can be recalled. */
  handle(topic: string, timer: RecallHandle): string {
    const handles = this.#options.recallEnable ? this.#makeHandles() : null;
    return handles === null ? '' : handles.make(topic, timer);
  }

  /** See `TimerService.recall`. */
  async recallBy(topic: string, handle: string): Promise<string> {
    if (!this.#options.recallEnable) {
      throw new MqError(
        'FORBIDDEN',
        'recall failed, operation is forbidden: the brokers have the setting recallEnable off',
      );
    }
    const timer = this.#makeHandles()?.parse(handle, topic) ?? null;
    if (timer === null) {
      this.#options.probe.recallsFailed++;
      throw new MqError(
        'RECALL_FAILED',
        `recall handle is invalid: it was not given out here for a message of topic ${topic}`,
      );
    }
    await this.recall({ dueMs: timer.dueMs, id: timer.timerId });
    return timer.messageId;
  }

  /** null until the log has the secret that handles are made with. */
  #makeHandles(): RecallHandles | null {
    const { tables, brokerGroup } = this.#options;
    const { secret } = tables.shared;
    if (secret === null) return null;
    return (this.#handles ??= new RecallHandles(secret, brokerGroup));
  }

  /** @throws MqError RECALL_FAILED when the message was delivered, or is on its way; else as the proposal */
  async recall(name: TimerName): Promise<void> {
    const { probe } = this.#options;
    const running = this.#running;
    let recall = running.get(name.id);
    if (recall === undefined) {
      recall = this.#recall(name).finally(() => running.delete(name.id));
      running.set(name.id, recall);
    }
    try {
      await recall;
    } catch (error) {
      probe.recallsFailed++;
      throw error;
    }
  }

  async #recall(name: TimerName): Promise<void> {
    const { tables, window, records, probe, released } = this.#options;
    const running = this.#running;
    const timer = window.claim(name);
    if (timer === null)
      throw delivered('the message is being delivered, or being recalled, already');
    let decided = false;
    try {
      const row = await tables.cold.get(timerKey(name.dueMs, name.id));
      if (running !== this.#running) throw notLeading();
      if (row === null) {
        // Never early: what is gone and due later than anything that fired was recalled before.
        if (name.dueMs > tables.timers.firedThroughMs) return;
        throw delivered('the message was delivered, or recalled, before');
      }
      await records.command({ kind: 'recall-timer', dueMs: name.dueMs, id: name.id });
      decided = true;
      probe.recalled++;
    } catch (error) {
      // It may still happen: nobody else may touch the timer until the log, or the end of the reign, tells.
      decided = isMqError(error) && error.code === 'REQUEST_TIMEOUT';
      throw error;
    } finally {
      if (!decided && running === this.#running) {
        window.release(timer);
        released();
      }
    }
  }
}

function delivered(what: string): MqError {
  return new MqError('RECALL_FAILED', `recall failed: ${what}; it cannot be taken back any more`);
}

function notLeading(): MqError {
  return new MqError('HA_NOT_AVAILABLE', 'this replica does not lead its group; ask the leader');
}
