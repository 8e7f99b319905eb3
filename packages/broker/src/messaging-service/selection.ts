import { type QueueSlice } from '@raftmq/broker-store';
import { ALL_MESSAGES, passesFilter, type MessageFilter } from '@raftmq/protocol';
import { type QueueReader } from '../lite/delivery-queues.js';
import { type GroupConfig } from '../messaging.js';
import { type DeliveryPlan, type DeliveryRun } from '../pop/delivery.js';
import { newDelivery, type Delivery } from '../pop/rows.js';

/**
 * A record as far as it can be had without waiting: null when the log no longer holds it, undefined when it would have
 * to be read from disk.
 */
export type RecordAtHand = (position: number, sizeBytes: number) => Buffer | null | undefined;

/** A message that may be handed out; its record is not read yet. */
export interface Candidate {
  readonly offset: number;
  readonly position: number;
  readonly sizeBytes: number;
}

/** What one queue has for a receive call. */
export interface Selection {
  readonly retries: readonly Candidate[];
  readonly fresh: readonly Candidate[];
  /** Open offsets to be counted as consumed: the filter refuses them now, or the log no longer holds them. */
  readonly dropped: readonly number[];
  /** For the dead-letter queue; nothing else is selected then. */
  readonly exhausted: readonly number[];
  /** New offsets below were looked at. */
  readonly endOffset: number;
  /** Nothing to hand out, but so much was passed over that it is worth a record. */
  readonly skipOnly: boolean;
  readonly lookAgainAtMs: number;
  readonly limited: boolean;
  readonly sizeBytes: number;
  /** The filter needs to read these before it can go on; empty when it found what it was asked for, or all is read. */
  readonly unread: readonly Candidate[];
}

/** What belongs to calls that go first. */
export interface TakenBefore {
  readonly endOffset: number;
  readonly freshCount: number;
  readonly again: ReadonlySet<number>;
}

export interface SelectRequest {
  readonly queueIndex: QueueReader;
  readonly topic: string;
  readonly queueId: number;
  readonly group: GroupConfig;
  /** null = the group was never here. */
  readonly delivery: Delivery | null;
  /** Where an earlier scan of new messages ended without a match; 0 without one. */
  readonly scanFrom: number;
  /** What calls before this one take in the same proposal; null for the first one. Only without order. */
  readonly behind: TakenBefore | null;
  readonly filter: MessageFilter;
  readonly recordAtHand: RecordAtHand;
  /** Shared by all queues that one call looks at. */
  readonly effort: Effort;
  readonly attemptId: string | null;
  readonly countMax: number;
  /** Of all records together; one is always let through when `firstAlways`. */
  readonly bytesMax: number;
  readonly firstAlways: boolean;
  readonly openMax: number;
  readonly nowMs: number;
  /** New messages come before retries in a batch of one: set now and then, so that failing ones cannot starve them. */
  readonly preferFresh: boolean;
}

/** Index entries looked at in one go. */
const SCAN_CHUNK = 256;
/** What one look costs at most, about 1 ms: index entries, and so many for each record that a filter reads. */
const EFFORT_MAX = 20_000;
const RECORD_EFFORT = 10;
/** Records that a filter asks for at a time when they are not in memory, and their size together, one always let in. */
const READ_MAX = 64;
const READ_BYTES_MAX = 2 * 1024 * 1024;
/** So many entries passed over are worth a record of their own. */
const SKIP_RECORD_MIN = 1_024;

/** How much of its share of time a look has left. */
export class Effort {
  #left = EFFORT_MAX;

  get spent(): boolean {
    return this.#left <= 0;
  }

  take(units: number): void {
    this.#left -= units;
  }
}

/**
 * Picks what may go out from one queue: what failed before takes up to half of the batch, new messages the rest, and
 * what failed the remaining room. Reads the queue index; a filter on properties also reads the records of new messages,
 * and stops where they are not at hand.
 */
export function select(request: SelectRequest): Selection {
  const { delivery, group, countMax, nowMs, attemptId, openMax } = request;
  const state = delivery ?? newDelivery(group.fifo);
  const { maxAttempts } = group;
  const { behind } = request;
  const batchSize = countMax + (behind?.again.size ?? 0);
  const found = state.plan({ nowMs, batchSize, attemptId, maxAttempts, openMax });
  const plan = behind === null ? found : planBehind(found, behind, state, request);
  const budget = new Budget(request);
  const retries: Candidate[] = [];
  const dropped: number[] = [];
  const share = countMax === 1 ? (request.preferFresh ? 0 : 1) : Math.ceil(countMax / 2);
  const again = plan.exhausted.length > 0 ? [] : lookUp(request, plan.retries, dropped);
  let used = 0;
  const takeRetries = (max: number): void => {
    while (used < again.length && retries.length < max && budget.take(again[used]!)) {
      retries.push(again[used++]!);
    }
  };
  const ordered = state.kind === 'ordered';
  takeRetries(ordered ? countMax : share);
  const scan = new Scan(request, state, plan.newFromOffset);
  const newMax = plan.exhausted.length > 0 ? 0 : Math.min(plan.newMax, countMax - retries.length);
  const fresh = newMax > 0 ? scan.run(newMax, budget) : [];
  takeRetries(countMax - fresh.length);
  // An ordered batch that is handed out again ends behind its last message.
  const endOffset =
    ordered && newMax === 0 && retries.length > 0
      ? retries[retries.length - 1]!.offset + 1
      : scan.end;
  const nothing = retries.length + fresh.length + dropped.length === 0;
  const exhausted =
    nothing && scan.exhausted !== null ? [...plan.exhausted, scan.exhausted] : plan.exhausted;
  const passedOver =
    scan.end - state.nextOffset >= SKIP_RECORD_MIN ||
    // The next scan would begin where this one did, and get no further.
    (!scan.remembers && scan.cut && scan.end > plan.newFromOffset);
  return {
    retries,
    fresh,
    dropped,
    exhausted,
    endOffset,
    skipOnly: nothing && newMax > 0 && passedOver && behind === null,
    lookAgainAtMs: plan.lookAgainAtMs,
    limited: plan.limited,
    sizeBytes: budget.usedBytes,
    unread: nothing ? scan.unread : [],
  };
}

/** What is left of a plan for a call behind others. What is exhausted is the business of the first one. */
function planBehind(
  plan: DeliveryPlan,
  behind: TakenBefore,
  state: Delivery,
  request: SelectRequest,
): DeliveryPlan {
  const room = request.openMax - state.openCount - behind.freshCount;
  return {
    ...plan,
    retries: plan.retries.filter((offset) => !behind.again.has(offset)),
    exhausted: [],
    newFromOffset: Math.max(plan.newFromOffset, behind.endOffset),
    newMax: Math.max(0, Math.min(request.countMax, room)),
  };
}

/** Whether a selection asks for work. */
export function hasWork(selection: Selection): boolean {
  const { retries, fresh, dropped, exhausted, skipOnly } = selection;
  return retries.length + fresh.length + dropped.length + exhausted.length > 0 || skipOnly;
}

/** Runs of a delivery command: first what was handed out before, then new offsets, each ascending. */
export function runsOf(
  again: readonly { readonly offset: number; readonly dropped: boolean }[],
  fresh: readonly number[],
): DeliveryRun[] {
  const runs: { fromOffset: number; count: number; dropped: boolean }[] = [];
  const add = (offset: number, dropped: boolean): void => {
    const last = runs[runs.length - 1];
    if (last !== undefined && last.dropped === dropped && last.fromOffset + last.count === offset)
      last.count++;
    else runs.push({ fromOffset: offset, count: 1, dropped });
  };
  for (const { offset, dropped } of [...again].sort((a, b) => a.offset - b.offset))
    add(offset, dropped);
  for (const offset of fresh) add(offset, false);
  return runs;
}

/** How much of the answer's size is left. */
class Budget {
  usedBytes = 0;
  readonly #bytesMax: number;
  #firstAlways: boolean;

  constructor(request: Pick<SelectRequest, 'bytesMax' | 'firstAlways'>) {
    this.#bytesMax = request.bytesMax;
    this.#firstAlways = request.firstAlways;
  }

  take(candidate: Candidate): boolean {
    if (!this.#firstAlways && this.usedBytes + candidate.sizeBytes > this.#bytesMax) return false;
    this.#firstAlways = false;
    this.usedBytes += candidate.sizeBytes;
    return true;
  }
}

function lookUp(
  request: SelectRequest,
  offsets: readonly number[],
  dropped: number[],
): Candidate[] {
  const found: Candidate[] = [];
  for (const offset of offsets) {
    const slice = request.queueIndex.read(request.topic, request.queueId, offset, 1);
    // A filter on properties is asked when the record is read.
    if (slice.count === 1 && slice.fromOffset === offset && hasTag(request.filter, slice, 0)) {
      found.push(candidateOf(slice, 0));
    } else dropped.push(offset);
  }
  return found;
}

/** Whether to look at the next message, at no more, or at no more before this one is read. */
type Step = 'next' | 'stop' | 'unread';

/** Looks at new messages, from where the group stands on. */
class Scan {
  /** Offset behind the last message looked at. */
  end: number;
  /** What has to be read before the scan can go on. */
  unread: readonly Candidate[] = [];
  /** The message that ends the scan as its attempts are used up; the delivery did not know whether the filter wants it. */
  exhausted: number | null = null;
  /** The next scan may begin where this one ends. */
  readonly remembers: boolean;
  readonly #request: SelectRequest;
  readonly #state: Delivery;

  constructor(request: SelectRequest, state: Delivery, fromOffset: number) {
    this.#request = request;
    this.#state = state;
    this.remembers = state.kind === 'concurrent' || state.quiet;
    const scannedTo = this.remembers ? request.scanFrom : 0;
    this.end = Math.max(fromOffset, scannedTo);
  }

  /** There was more to look at. */
  get cut(): boolean {
    return this.#request.effort.spent || this.unread.length > 0;
  }

  run(countMax: number, budget: Budget): Candidate[] {
    const { queueIndex, topic, queueId, filter, effort } = this.#request;
    const found: Candidate[] = [];
    const chunk = filter === ALL_MESSAGES ? countMax : SCAN_CHUNK;
    while (!effort.spent && found.length < countMax) {
      const slice = queueIndex.read(topic, queueId, this.end, chunk);
      if (slice.count === 0) {
        // Retention may have gone past everything that the group has seen.
        this.end = Math.max(
          this.end,
          Math.min(slice.fromOffset, queueIndex.maxOffset(topic, queueId)),
        );
        break;
      }
      effort.take(slice.count);
      for (let i = 0; i < slice.count && found.length < countMax; i++) {
        const step = this.#step(slice, i, found, budget);
        if (step === 'stop') return found;
        if (step === 'unread') {
          this.unread = unreadFrom(this.#request, slice, i);
          return found;
        }
        this.end = slice.fromOffset + i + 1;
        if (filter.sql !== null && effort.spent) break;
      }
    }
    return found;
  }

  /** Looks at one message; it goes to `found` when it may be handed out. */
  #step(slice: QueueSlice, i: number, found: Candidate[], budget: Budget): Step {
    const { filter, group } = this.#request;
    const state = this.#state;
    const admission =
      state.kind === 'ordered'
        ? state.admission(slice.fromOffset + i, group.maxAttempts)
        : 'deliver';
    if (admission === 'skip' || !hasTag(filter, slice, i)) return 'next';
    const passes = filter.sql === null || this.#passes(filter, slice, i);
    if (passes === undefined) return 'unread';
    if (!passes) return 'next';
    if (admission === 'stop') {
      this.exhausted = slice.fromOffset + i;
      return 'stop';
    }
    const candidate = candidateOf(slice, i);
    if (!budget.take(candidate)) return 'stop';
    found.push(candidate);
    return 'next';
  }

  #passes(filter: MessageFilter, slice: QueueSlice, i: number): boolean | undefined {
    const { recordAtHand, effort } = this.#request;
    effort.take(RECORD_EFFORT);
    const record = recordAtHand(slice.positions[i]!, slice.sizesBytes[i]!);
    if (record === undefined) return undefined;
    return record !== null && passesFilter(filter, record);
  }
}

/** The next messages that the filter has to look into. */
function unreadFrom(request: SelectRequest, slice: QueueSlice, from: number): Candidate[] {
  const unread: Candidate[] = [];
  let sizeBytes = 0;
  for (let i = from; i < slice.count && unread.length < READ_MAX; i++) {
    if (!hasTag(request.filter, slice, i)) continue;
    sizeBytes += slice.sizesBytes[i]!;
    if (unread.length > 0 && sizeBytes > READ_BYTES_MAX) break;
    unread.push(candidateOf(slice, i));
  }
  return unread;
}

export interface ScanRequest {
  readonly queueIndex: QueueReader;
  readonly topic: string;
  readonly queueId: number;
  readonly filter: MessageFilter;
  readonly fromOffset: number;
  readonly countMax: number;
  /** Of all records together; one is always let through. */
  readonly bytesMax: number;
}

/** Picks messages of one queue without regard to any group. Reads the queue index only. */
export function scanQueue(request: ScanRequest): {
  readonly candidates: readonly Candidate[];
  /** Behind the last message looked at. */
  readonly endOffset: number;
  /** Nothing was found so far, and there is more to look at. */
  readonly more: boolean;
} {
  const { queueIndex, topic, queueId, filter, countMax } = request;
  const candidates: Candidate[] = [];
  const budget = new Budget({ bytesMax: request.bytesMax, firstAlways: true });
  const effort = new Effort();
  const chunk = filter === ALL_MESSAGES ? countMax : SCAN_CHUNK;
  let endOffset = request.fromOffset;
  while (!effort.spent) {
    const slice = queueIndex.read(topic, queueId, endOffset, chunk);
    if (slice.count === 0) return { candidates, endOffset, more: false };
    effort.take(slice.count);
    for (let i = 0; i < slice.count; i++) {
      if (hasTag(filter, slice, i)) {
        const candidate = candidateOf(slice, i);
        if (candidates.length === countMax || !budget.take(candidate))
          return { candidates, endOffset, more: false };
        candidates.push(candidate);
      }
      endOffset = slice.fromOffset + i + 1;
    }
  }
  return { candidates, endOffset, more: candidates.length === 0 };
}

function candidateOf(slice: QueueSlice, i: number): Candidate {
  return {
    offset: slice.fromOffset + i,
    position: slice.positions[i]!,
    sizeBytes: slice.sizesBytes[i]!,
  };
}

function hasTag(filter: MessageFilter, slice: QueueSlice, i: number): boolean {
  return filter.tagHashes === null || filter.tagHashes.has(slice.tagHashes[i]!);
}
