import { createPrng } from '@raftmq/base';
import { ENTRY_HEADER_SIZE_BYTES, entryType, sealEntry, type Entry } from '@raftmq/raft';

/** What to make; the first entry of a fresh log by default. */
export interface EntriesPlan {
  readonly count: number;
  readonly payloadBytes?: number;
  readonly fromIndex?: number;
  readonly position?: number;
  readonly term?: number;
  readonly storeTimestampMs?: number;
  readonly seed?: number;
}

/** Sealed entries back to back with payloads drawn from a seed; timestamps ascend by one millisecond. */
export function makeEntries(plan: EntriesPlan): Entry[] {
  const {
    count,
    payloadBytes = 100,
    fromIndex = 1,
    term = 1,
    storeTimestampMs = 1_000_000,
    seed = 1,
  } = plan;
  const prng = createPrng(seed * 1000 + term);
  let position = plan.position ?? 0;
  const entries: Entry[] = [];
  for (let i = 0; i < count; i++) {
    const frame = Buffer.alloc(ENTRY_HEADER_SIZE_BYTES + payloadBytes);
    for (let at = ENTRY_HEADER_SIZE_BYTES; at < frame.length; at++)
      frame[at] = prng.integer(0, 255);
    const entry = sealEntry(frame, {
      index: fromIndex + i,
      term,
      position,
      type: entryType.records,
      storeTimestampMs: storeTimestampMs + i,
      recordCount: 1,
    });
    entries.push(entry);
    position += frame.length;
  }
  return entries;
}
