import { type CancelTimer, type Clock, type Logger } from '@raftmq/base';
import { ageKey, decodeAge } from '../../state/half-table.js';
import { type Tables } from '../../state/tables.js';
import { type RecordsProposer } from '../proposals.js';
import { type TransactionSettings } from './settings.js';

export interface OutcomeKeeperOptions {
  readonly tables: Tables;
  readonly proposer: RecordsProposer;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly settings: TransactionSettings;
}

const LOOK_MS = 10_000;
/** Outcomes forgotten by one command. */
const FORGET_MAX = 1_000;

/** Forgets outcomes of transactions that are old, or too many, oldest first. On the leader. */
export class OutcomeKeeper {
  readonly #options: OutcomeKeeperOptions;
  #cancel: CancelTimer = () => undefined;
  #busy = false;

  constructor(options: OutcomeKeeperOptions) {
    this.#options = options;
  }

  start(): void {
    this.#cancel();
    this.#arm();
  }

  stop(): void {
    this.#cancel();
    this.#cancel = () => undefined;
  }

  #arm(): void {
    this.#cancel = this.#options.clock.setTimer(LOOK_MS, () => {
      this.#arm();
      if (!this.#busy) void this.#look();
    });
  }

  async #look(): Promise<void> {
    this.#busy = true;
    try {
      while (await this.#forgetSome());
    } catch (error) {
      // The next look tries again; without leadership the new leader does. A repeated command has no effect.
      this.#options.logger.debug({ error: String(error) }, 'outcomes could not be forgotten');
    } finally {
      this.#busy = false;
    }
  }

  /** @returns whether there may be more */
  async #forgetSome(): Promise<boolean> {
    const { tables, proposer, clock, settings } = this.#options;
    const { halves, cold } = tables;
    const count = halves.outcomeCount;
    if (count === 0) return false;
    const { firstOutcome } = halves.numbers;
    const end = firstOutcome + Math.min(count, FORGET_MAX);
    const tooMany = count - settings.transactionOutcomesMax;
    const oldestMs = clock.wallMs() - settings.transactionOutcomeMs;
    const keys: string[] = [];
    for (const row of await cold.range(ageKey(firstOutcome), ageKey(end), FORGET_MAX)) {
      const { key, decidedAtMs } = decodeAge(row.value);
      if (decidedAtMs > oldestMs && keys.length >= tooMany) break;
      keys.push(key);
    }
    if (keys.length === 0) return false;
    await proposer.command({ kind: 'forget-outcomes', firstOutcome, keys });
    return keys.length === FORGET_MAX;
  }
}
