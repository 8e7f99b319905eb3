import { type CommitLogReader } from '@raftmq/broker-store';
import { passesFilter, type MessageFilter } from '@raftmq/protocol';
import { type Candidate, type RecordAtHand, type Selection } from './selection.js';

export type RecordLog = Pick<CommitLogReader, 'cachedRecord' | 'readRecord'>;

/** The records of a selection. */
export interface LoadedRecords {
  /** By offset. */
  readonly records: ReadonlyMap<number, Buffer>;
  /** Offsets that were handed out before and must not be: gone, over their time, or refused by the exact filter. */
  readonly dropped: readonly number[];
}

/** The records that the turns of one call look at, from memory or disk. */
export class TurnRecords {
  readonly #log: RecordLog;
  /** What was read from disk last, by position; null = the log no longer holds it. */
  readonly #read = new Map<number, Buffer | null>();

  constructor(log: RecordLog) {
    this.#log = log;
  }

  readonly atHand: RecordAtHand = (position, sizeBytes) => {
    const read = this.#read.get(position);
    return read === undefined ? (this.#log.cachedRecord(position, sizeBytes) ?? undefined) : read;
  };

  /** Has these at hand from now on, and forgets those read before. */
  async read(candidates: readonly Candidate[]): Promise<void> {
    const read = await Promise.all(
      candidates.map(({ position, sizeBytes }) => this.#log.readRecord(position, sizeBytes)),
    );
    this.#read.clear();
    for (let i = 0; i < candidates.length; i++) this.#read.set(candidates[i]!.position, read[i]!);
  }

  /**
   * Reads the records of a selection, those not at hand all at once.
   * @param mayLeave refuses records of another lite topic, and those whose time is over
   */
  async load(
    selection: Selection,
    filter: MessageFilter,
    mayLeave: (record: Buffer) => boolean,
  ): Promise<LoadedRecords> {
    const { retries, fresh } = selection;
    const dropped = [...selection.dropped];
    const records = new Map<number, Buffer>();
    const missing: Candidate[] = [];
    const keep = ({ offset }: Candidate, record: Buffer | null): void => {
      if (record !== null && mayLeave(record) && passesFilter(filter, record))
        records.set(offset, record);
      else dropped.push(offset);
    };
    for (const candidates of [retries, fresh]) {
      for (const candidate of candidates) {
        const record = this.atHand(candidate.position, candidate.sizeBytes);
        if (record === undefined) missing.push(candidate);
        // The scan for new messages has asked this filter already.
        else if (record !== null && filter.sql !== null && candidates === fresh && mayLeave(record))
          records.set(candidate.offset, record);
        else keep(candidate, record);
      }
    }
    if (missing.length > 0) {
      await this.read(missing);
      for (const candidate of missing) keep(candidate, this.#read.get(candidate.position) ?? null);
    }
    return { records, dropped };
  }
}
