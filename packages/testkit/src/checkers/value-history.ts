/** What a client knows of a value it proposed once. `unknown`: no answer, or one that promises nothing. */
export type ValueOutcome = 'open' | 'acked' | 'refused' | 'unknown';

/** Something a history must not contain. */
export interface HistoryFault {
  readonly rule:
    | 'value-once'
    | 'refused-value-appeared'
    | 'acked-value-lost'
    | 'never-proposed'
    | 'answered-twice';
  readonly message: string;
}

interface ValueRecord {
  outcome: ValueOutcome;
  proposedAtMs: number;
  /** Where the log holds it, 0 = nowhere yet. */
  index: number;
}

/**
 * The life of every value that clients proposed, each in a single attempt: who was promised what, and what the log
 * made of it. Times and indexes are the caller's; nothing here depends on how the system under test works.
 */
export class ValueHistory {
  readonly #values = new Map<number, ValueRecord>();
  #acked = 0;
  #refused = 0;
  #unknown = 0;
  #ackedIndexMax = 0;
  #losses = 0;

  get proposedCount(): number {
    return this.#values.size;
  }

  get ackedCount(): number {
    return this.#acked;
  }

  get refusedCount(): number {
    return this.#refused;
  }

  get unknownCount(): number {
    return this.#unknown;
  }

  /** Highest log index of an acknowledged value: what a linearizable read that starts now must see. */
  get ackedIndexMax(): number {
    return this.#ackedIndexMax;
  }

  /** How often {@link lostBehind} took something away. */
  get losses(): number {
    return this.#losses;
  }

  proposed(value: number, nowMs: number): void {
    this.#values.set(value, { outcome: 'open', proposedAtMs: nowMs, index: 0 });
  }

  /** The client was told that the value is stored at `index`. */
  acked(value: number, index: number): HistoryFault | null {
    const record = this.#values.get(value);
    if (record === undefined)
      return {
        rule: 'never-proposed',
        message: `value ${value} was acknowledged but never proposed`,
      };
    const fault = this.#answer(record, value, 'acked');
    this.#acked++;
    if (index > this.#ackedIndexMax) this.#ackedIndexMax = index;
    return fault;
  }

  /** The client was told that the value is not stored and never will be. */
  refused(value: number): HistoryFault | null {
    const record = this.#values.get(value);
    if (record === undefined)
      return { rule: 'never-proposed', message: `value ${value} was refused but never proposed` };
    const fault = this.#answer(record, value, 'refused');
    this.#refused++;
    if (fault === null && record.index > 0) {
      return {
        rule: 'refused-value-appeared',
        message: `value ${value} was refused, but entry ${record.index} holds it`,
      };
    }
    return fault;
  }

  /** The client got no answer, or one that leaves the outcome open. */
  unknown(value: number): HistoryFault | null {
    const record = this.#values.get(value);
    if (record === undefined)
      return { rule: 'never-proposed', message: `value ${value} was answered but never proposed` };
    this.#unknown++;
    return this.#answer(record, value, 'unknown');
  }

  /** Entry `index` of the one committed log holds the value; to be told once per entry, not once per replica. */
  committed(value: number, index: number): HistoryFault | null {
    const record = this.#values.get(value);
    if (record === undefined)
      return {
        rule: 'never-proposed',
        message: `entry ${index} holds value ${value}, which nobody proposed`,
      };
    if (record.index > 0) {
      return {
        rule: 'value-once',
        message: `value ${value}, proposed once, lies in entries ${record.index} and ${index}`,
      };
    }
    record.index = index;
    if (record.outcome !== 'refused') return null;
    return {
      rule: 'refused-value-appeared',
      message: `value ${value} was refused, but entry ${index} holds it`,
    };
  }

  /** Entries behind `index` are lost, as they may be: whoever was told that they are stored can rely on that no more. */
  lostBehind(index: number): void {
    this.#losses++;
    this.#ackedIndexMax = Math.min(this.#ackedIndexMax, index);
    for (const record of this.#values.values()) {
      if (record.index > index && record.outcome === 'acked') record.outcome = 'unknown';
    }
  }

  /** Values without an answer that were proposed before `beforeMs`. */
  openSince(beforeMs: number): number[] {
    const open: number[] = [];
    for (const [value, record] of this.#values) {
      if (record.outcome === 'open' && record.proposedAtMs < beforeMs) open.push(value);
    }
    return open;
  }

  /** Verdict at the end, when everything committed was told. */
  finalFault(): HistoryFault | null {
    for (const [value, record] of this.#values) {
      if (record.outcome === 'acked' && record.index === 0) {
        return {
          rule: 'acked-value-lost',
          message: `value ${value} was acknowledged, but no entry holds it`,
        };
      }
    }
    return null;
  }

  #answer(record: ValueRecord, value: number, outcome: ValueOutcome): HistoryFault | null {
    const before = record.outcome;
    record.outcome = outcome;
    if (before === 'open') return null;
    return { rule: 'answered-twice', message: `value ${value} was ${before} and then ${outcome}` };
  }
}
