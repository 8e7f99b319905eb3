import { assert, MqError, type CancelTimer, type Clock } from '@raftmq/base';
import {
  type Checkpoint,
  type ColdRow,
  type QueueIndex,
  type QueueSlice,
  type RowChanges,
  type StateStore,
} from '@raftmq/broker-store';
import {
  ENTRY_HEADER_SIZE_BYTES,
  entryEnd,
  entryType,
  sealEntry,
  type Entry,
  type Proposal,
} from '@raftmq/raft';

/* Stand-ins for tests of this package: one node that commits at once, over memory, under a clock that tests move. */

/** A clock that moves when told to; timers fire in order while it moves. */
export class ManualClock implements Clock {
  nowMs = 1_700_000_000_000;
  /** What the wall clock is ahead; may jump. */
  wallOffsetMs = 0;
  #timers: { dueMs: number; fire: () => void }[] = [];

  monotonicMs(): number {
    return this.nowMs - 1_600_000_000_000;
  }

  wallMs(): number {
    return this.nowMs + this.wallOffsetMs;
  }

  setTimer(delayMs: number, fire: () => void): CancelTimer {
    const timer = { dueMs: this.nowMs + delayMs, fire };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Moves on, timer by timer, letting everything that follows from each one settle. */
  async advance(durationMs: number): Promise<void> {
    const endMs = this.nowMs + durationMs;
    for (;;) {
      const next = this.#timers.reduce<{ dueMs: number; fire: () => void } | null>(
        (first, timer) => (first === null || timer.dueMs < first.dueMs ? timer : first),
        null,
      );
      if (next === null || next.dueMs > endMs) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.nowMs = Math.max(this.nowMs, next.dueMs);
      next.fire();
      await settle();
    }
    this.nowMs = endMs;
    await settle();
  }
}

/** Lets every promise that can settle do so. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}

interface IndexEntry {
  readonly position: number;
  readonly sizeBytes: number;
  readonly tagHash: number;
}

/** {@link QueueIndex} in memory. `flushed` is what would survive a power cut. */
export class MemoryQueueIndex implements QueueIndex {
  readonly entries = new Map<string, IndexEntry[]>();
  readonly starts = new Map<string, number>();
  flushes = 0;

  minOffset(topic: string, queueId: number): number {
    return this.starts.get(`${topic}/${queueId}`) ?? 0;
  }

  maxOffset(topic: string, queueId: number): number {
    return this.minOffset(topic, queueId) + (this.entries.get(`${topic}/${queueId}`)?.length ?? 0);
  }

  append(
    topic: string,
    queueId: number,
    queueOffset: number,
    position: number,
    sizeBytes: number,
    tagHash: number,
  ): void {
    const key = `${topic}/${queueId}`;
    let entries = this.entries.get(key);
    if (entries === undefined) this.entries.set(key, (entries = []));
    const max = this.maxOffset(topic, queueId);
    if (queueOffset < max) return;
    assert(queueOffset === max, `queue offsets of ${key} are dense`);
    entries.push({ position, sizeBytes, tagHash });
  }

  read(topic: string, queueId: number, fromOffset: number, countMax: number): QueueSlice {
    const min = this.minOffset(topic, queueId);
    const from = Math.max(min, fromOffset);
    const found = (this.entries.get(`${topic}/${queueId}`) ?? []).slice(
      from - min,
      from - min + countMax,
    );
    return {
      fromOffset: from,
      count: found.length,
      positions: Float64Array.from(found, (entry) => entry.position),
      sizesBytes: Int32Array.from(found, (entry) => entry.sizeBytes),
      tagHashes: Int32Array.from(found, (entry) => entry.tagHash),
    };
  }

  /** Retention: forgets messages of one queue below `offset`. */
  forgetBelow(topic: string, queueId: number, offset: number): void {
    const key = `${topic}/${queueId}`;
    this.entries.get(key)?.splice(0, offset - this.minOffset(topic, queueId));
    this.starts.set(key, offset);
  }

  flush(): Promise<void> {
    this.flushes++;
    return Promise.resolve();
  }

  truncate(topic: string, queueId: number, endOffset: number): Promise<void> {
    this.entries
      .get(`${topic}/${queueId}`)
      ?.splice(Math.max(0, endOffset - this.minOffset(topic, queueId)));
    return Promise.resolve();
  }

  dropBelow(): void {
    // Tests forget messages by offset, see forgetBelow.
  }

  deleteTopic(topic: string): Promise<void> {
    for (const key of [...this.entries.keys()])
      if (key.startsWith(`${topic}/`)) this.entries.delete(key);
    for (const key of [...this.starts.keys()])
      if (key.startsWith(`${topic}/`)) this.starts.delete(key);
    return Promise.resolve();
  }

  *queues(): Iterable<readonly [topic: string, queueId: number]> {
    for (const key of this.entries.keys()) {
      const slash = key.lastIndexOf('/');
      yield [key.slice(0, slash), Number(key.slice(slash + 1))];
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** {@link StateStore} in memory. */
export class MemoryStateStore implements StateStore {
  appliedIndex = 0;
  readonly rows = new Map<string, Buffer>();
  readonly cold = new Map<string, Buffer>();

  load(): Promise<Checkpoint> {
    return Promise.resolve({ appliedIndex: this.appliedIndex, rows: new Map(this.rows) });
  }

  save(appliedIndex: number, rows: RowChanges, cold: RowChanges): Promise<void> {
    this.appliedIndex = appliedIndex;
    change(this.rows, rows);
    change(this.cold, cold);
    return Promise.resolve();
  }

  coldGet(key: string): Promise<Buffer | null> {
    return Promise.resolve(this.cold.get(key) ?? null);
  }

  coldRange(
    from: string,
    before: string,
    countMax: number,
    bytesMax = Infinity,
  ): Promise<readonly ColdRow[]> {
    const keys = [...this.cold.keys()].filter((key) => key >= from && key < before).sort();
    let bytesLeft = bytesMax;
    const rows: ColdRow[] = [];
    for (const key of keys.slice(0, countMax)) {
      const value = this.cold.get(key)!;
      bytesLeft -= value.length;
      if (bytesLeft < 0 && rows.length > 0) break;
      rows.push({ key, value });
    }
    return Promise.resolve(rows);
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function change(rows: Map<string, Buffer>, changes: RowChanges): void {
  for (const key of changes.deletes) rows.delete(key);
  for (const [key, row] of changes.puts) rows.set(key, Buffer.from(row));
}

/** A log in memory: the reading half of the commit log. */
export class MemoryLog {
  readonly entries: Entry[] = [];
  firstIndex = 1;
  /** Records answer from "disk", a turn later. */
  slow = false;

  get lastIndex(): number {
    return this.entries.length;
  }

  get endPosition(): number {
    const last = this.entries[this.entries.length - 1];
    return last === undefined ? 0 : entryEnd(last);
  }

  get lastStoreTimestampMs(): number {
    return this.entries[this.entries.length - 1]?.storeTimestampMs ?? 0;
  }

  readonly firstPosition = 0;

  makeDurable(): Promise<void> {
    return Promise.resolve();
  }

  termAt(index: number): number {
    return this.entries[index - 1]?.term ?? 0;
  }

  firstIndexOfTermAt(): number {
    return this.firstIndex;
  }

  read(fromIndex: number, throughIndex: number): readonly Entry[] {
    return this.entries.slice(fromIndex - 1, throughIndex);
  }

  append(entries: readonly Entry[]): Promise<void> {
    this.entries.push(...entries);
    return Promise.resolve();
  }

  compactThrough(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  indexAt(position: number): number {
    return this.entries.findIndex((entry) => position < entryEnd(entry)) + 1;
  }

  entryAt(position: number): Promise<Entry | null> {
    return Promise.resolve(this.entries[this.indexAt(position) - 1] ?? null);
  }

  cachedRecord(position: number, sizeBytes: number): Buffer | null {
    return this.slow ? null : this.#record(position, sizeBytes);
  }

  async readRecord(position: number, sizeBytes: number): Promise<Buffer | null> {
    await settle();
    return this.#record(position, sizeBytes);
  }

  #record(position: number, sizeBytes: number): Buffer | null {
    const entry = this.entries.find((e) => position >= e.position && position < entryEnd(e));
    return (
      entry?.frame.subarray(position - entry.position, position - entry.position + sizeBytes) ??
      null
    );
  }
}

/** What the node drives: the state machine, or several that must stay equal. */
export interface Applies {
  apply(entry: Entry, results: unknown[] | null): void;
  applied(): void;
}

/** Seals what was proposed in one turn into one entry and commits it at once, unless told to hold or to refuse. */
export class SingleNode {
  readonly log: MemoryLog;
  readonly clock: ManualClock;
  readonly machines: Applies[] = [];
  /** While true, proposals wait for {@link commit}. */
  hold = false;
  refuse: Parameters<Proposal['rejected']>[0] | null = null;
  proposed = 0;

  /** Proposals that wait for {@link commit}. */
  get waiting(): number {
    return this.#queue.length;
  }

  #queue: Proposal[] = [];
  /** Told that their outcome is unknown; they commit with the others. */
  readonly #expired = new Set<Proposal>();
  readonly #sealed: { readonly entry: Entry; readonly proposals: readonly Proposal[] }[] = [];
  #scheduled = false;

  constructor(clock: ManualClock, log = new MemoryLog()) {
    this.clock = clock;
    this.log = log;
  }

  propose(proposal: Proposal): void {
    this.proposed++;
    if (this.refuse !== null) return proposal.rejected(this.refuse);
    this.#queue.push(proposal);
    if (this.#scheduled || this.hold) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (!this.hold) this.commit();
    });
  }

  /** Takes away what waits: the test decides what becomes of it. */
  take(): readonly Proposal[] {
    const proposals = this.#queue;
    this.#queue = [];
    return proposals;
  }

  /** Tells those who wait that nobody knows; {@link commit} still commits them. */
  expire(): void {
    for (const proposal of this.#queue) {
      this.#expired.add(proposal);
      proposal.rejected('unknown');
    }
  }

  /** Seals and applies what waits. */
  commit(): void {
    this.seal();
    for (const { entry, proposals } of this.#sealed.splice(0)) this.#apply(entry, proposals);
  }

  /** Seals what waits into an entry of the log; {@link commit} applies it. */
  seal(): void {
    const proposals = this.#queue;
    if (proposals.length === 0) return;
    this.#queue = [];
    const sizeBytes = proposals.reduce((sum, p) => sum + p.sizeBytes, ENTRY_HEADER_SIZE_BYTES);
    const frame = Buffer.alloc(sizeBytes);
    const context = {
      index: this.log.lastIndex + 1,
      term: 1,
      position: this.log.endPosition,
      storeTimestampMs: Math.max(this.log.lastStoreTimestampMs, this.clock.wallMs()),
    };
    let at = ENTRY_HEADER_SIZE_BYTES;
    for (const proposal of proposals) {
      const end = proposal.write(frame, at, context);
      assert(end === at + proposal.sizeBytes, 'a proposal writes what it announced');
      at = end;
    }
    const recordCount = proposals.reduce((sum, p) => sum + p.recordCount, 0);
    const entry = sealEntry(frame, { ...context, type: entryType.records, recordCount });
    void this.log.append([entry]);
    this.#sealed.push({ entry, proposals });
  }

  /** Nobody waits any more for what is sealed; it commits later. */
  giveUpSealed(): void {
    for (const { proposals } of this.#sealed) {
      for (const proposal of proposals) {
        this.#expired.add(proposal);
        proposal.rejected('unknown');
      }
    }
  }

  /** What is sealed never commits, nor does what waits: another leader's log won. */
  loseAll(): void {
    const lost = this.#sealed.splice(0);
    this.log.entries.length -= lost.length;
    for (const { proposals } of lost) {
      for (const proposal of proposals) {
        if (!this.#expired.delete(proposal)) proposal.rejected('lost');
      }
    }
    for (const proposal of this.#queue.splice(0)) proposal.rejected('not-leader');
  }

  #apply(entry: Entry, proposals: readonly Proposal[]): void {
    const results: unknown[] = [];
    this.machines.forEach((machine, i) => machine.apply(entry, i === 0 ? results : null));
    assert(results.length === entry.recordCount, 'one result per record');
    let from = 0;
    for (const proposal of proposals) {
      if (this.#expired.delete(proposal)) proposal.committedLate?.(results, from);
      else proposal.committed(results, from);
      from += proposal.recordCount;
    }
    for (const machine of this.machines) machine.applied();
  }

  /** Seals what waits into an entry that never commits: another leader's log won. */
  lose(): void {
    this.seal();
    this.loseAll();
  }
}

/** For options that must not be called. */
export function unexpectedFatal(error: unknown): void {
  throw new MqError('INTERNAL_ERROR', `fatal: ${String(error)}`);
}
