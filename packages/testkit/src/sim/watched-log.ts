import { type Entry, type LogStorage } from '@raftmq/raft';

/** Passes everything on to a log, and tells about appends before they happen. */
export class WatchedLog implements LogStorage {
  readonly #log: LogStorage;
  readonly #appending: (entries: readonly Entry[]) => void;

  constructor(log: LogStorage, appending: (entries: readonly Entry[]) => void) {
    this.#log = log;
    this.#appending = appending;
  }

  get firstIndex(): number {
    return this.#log.firstIndex;
  }

  get lastIndex(): number {
    return this.#log.lastIndex;
  }

  get endPosition(): number {
    return this.#log.endPosition;
  }

  get lastStoreTimestampMs(): number {
    return this.#log.lastStoreTimestampMs;
  }

  termAt(index: number): number {
    return this.#log.termAt(index);
  }

  firstIndexOfTermAt(index: number): number {
    return this.#log.firstIndexOfTermAt(index);
  }

  read(fromIndex: number, throughIndex: number, bytesMax: number): readonly Entry[] {
    return this.#log.read(fromIndex, throughIndex, bytesMax);
  }

  append(entries: readonly Entry[]): Promise<void> {
    this.#appending(entries);
    return this.#log.append(entries);
  }

  compactThrough(index: number): Promise<void> {
    return this.#log.compactThrough(index);
  }

  close(): Promise<void> {
    return this.#log.close();
  }
}
