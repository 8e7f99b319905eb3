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

/** Sealed entries back to back; payloads repeat seed, term and index, timestamps ascend by one millisecond. */
export function makeEntries(plan: EntriesPlan): Entry[] {
  const {
    count,
    payloadBytes = 100,
    fromIndex = 1,
    term = 1,
    storeTimestampMs = 1_000_000,
    seed = 1,
  } = plan;
  let position = plan.position ?? 0;
  const entries: Entry[] = [];
  for (let i = 0; i < count; i++) {
    const frame = Buffer.alloc(ENTRY_HEADER_SIZE_BYTES + payloadBytes);
    frame.fill(`${seed}/${term}/${fromIndex + i}/`, ENTRY_HEADER_SIZE_BYTES);
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

/** Entries that continue behind `entry`, in its term unless told otherwise. */
export function makeEntriesBehind(entry: Entry, plan: EntriesPlan): Entry[] {
  return makeEntries({
    term: entry.term,
    storeTimestampMs: entry.storeTimestampMs + 1,
    ...plan,
    fromIndex: entry.index + 1,
    position: entry.position + entry.frame.length,
  });
}
