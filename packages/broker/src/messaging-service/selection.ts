import { type QueueIndex, type QueueSlice } from '@raftmq/broker-store';
import { javaStringHashCode } from '@raftmq/protocol';
import { type GroupConfig } from '../messaging.js';
import { type DeliveryRun } from '../pop/delivery.js';
import { newDelivery, type Delivery } from '../pop/rows.js';

/** The messages of a topic that a receive call asks for. */
export interface TagFilter {
  /** null = all. */
  readonly tags: readonly string[] | null;
  readonly hashes: ReadonlySet<number> | null;
}

export function tagFilter(tags: readonly string[] | null): TagFilter {
  return { tags, hashes: tags === null ? null : new Set(tags.map(javaStringHashCode)) };
}

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
}

export interface SelectRequest {
  readonly queueIndex: QueueIndex;
  readonly topic: string;
  readonly queueId: number;
  readonly group: GroupConfig;
  /** null = the group was never here. */
  readonly delivery: Delivery | null;
  /** Where an earlier scan of new messages ended without a match; 0 without one. */
  readonly scanFrom: number;
  readonly filter: TagFilter;
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
/** Entries that one selection looks at: bounds the time it takes, about 1 ms. */
const SCAN_MAX = 20_000;
/** So many entries passed over are worth a record of their own. */
const SKIP_RECORD_MIN = 1_024;

/**
 * Picks what may go out from one queue: what failed before takes up to half of the batch, new messages the rest, and
 * what failed the remaining room. Reads the queue index only.
 */
export function select(request: SelectRequest): Selection {
  const { delivery, group, countMax, nowMs, attemptId, openMax } = request;
  const state = delivery ?? newDelivery(group.fifo);
  const { maxAttempts } = group;
  const plan = state.plan({ nowMs, batchSize: countMax, attemptId, maxAttempts, openMax });
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
  return {
    retries,
    fresh,
    dropped,
    exhausted: plan.exhausted,
    endOffset,
    skipOnly: nothing && newMax > 0 && scan.end - state.nextOffset >= SKIP_RECORD_MIN,
    lookAgainAtMs: plan.lookAgainAtMs,
    limited: plan.limited,
    sizeBytes: budget.usedBytes,
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

  constructor(request: SelectRequest) {
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
    if (slice.count === 1 && slice.fromOffset === offset && matches(request.filter, slice, 0)) {
      found.push(candidateOf(slice, 0));
    } else dropped.push(offset);
  }
  return found;
}

/** Looks at new messages, from where the group stands on. */
class Scan {
  /** Offset behind the last message looked at. */
  end: number;
  readonly #request: SelectRequest;
  readonly #state: Delivery;

  constructor(request: SelectRequest, state: Delivery, fromOffset: number) {
    this.#request = request;
    this.#state = state;
    this.end =
      state.kind === 'concurrent' || state.quiet
        ? Math.max(fromOffset, request.scanFrom)
        : fromOffset;
  }

  run(countMax: number, budget: Budget): Candidate[] {
    const { queueIndex, topic, queueId, filter, group } = this.#request;
    const found: Candidate[] = [];
    const chunk = filter.hashes === null ? countMax : SCAN_CHUNK;
    for (let looked = 0; looked < SCAN_MAX && found.length < countMax;) {
      const slice = queueIndex.read(topic, queueId, this.end, chunk);
      if (slice.count === 0) {
        // Retention may have gone past everything that the group has seen.
        this.end = Math.max(
          this.end,
          Math.min(slice.fromOffset, queueIndex.maxOffset(topic, queueId)),
        );
        break;
      }
      for (let i = 0; i < slice.count && found.length < countMax; i++) {
        const offset = slice.fromOffset + i;
        const admission =
          this.#state.kind === 'ordered'
            ? this.#state.admission(offset, group.maxAttempts)
            : 'deliver';
        if (admission === 'deliver' && matches(filter, slice, i)) {
          const candidate = candidateOf(slice, i);
          if (!budget.take(candidate)) return found;
          found.push(candidate);
        } else if (admission === 'stop' && matches(filter, slice, i)) return found;
        this.end = offset + 1;
      }
      looked += slice.count;
    }
    return found;
  }
}

function candidateOf(slice: QueueSlice, i: number): Candidate {
  return {
    offset: slice.fromOffset + i,
    position: slice.positions[i]!,
    sizeBytes: slice.sizesBytes[i]!,
  };
}

function matches(filter: TagFilter, slice: QueueSlice, i: number): boolean {
  return filter.hashes === null || filter.hashes.has(slice.tagHashes[i]!);
}
