import { ENTRY_HEADER_SIZE_BYTES, entryType, sealEntry, type Entry } from '@raftmq/raft';

/** What to make; the first entries of a fresh log by default. */
export interface EntriesPlan {
  readonly count: number;
  readonly payloadBytes?: number;
  readonly fromIndex?: number;
  readonly position?: number;
  readonly term?: number;
  readonly storeTimestampMs?: number;
}

/** Sealed entries back to back; payloads repeat term and index, timestamps ascend by a millisecond. */
export function makeEntries(plan: EntriesPlan): Entry[] {
  const { count, payloadBytes = 100, fromIndex = 1, term = 1, storeTimestampMs = 1_000 } = plan;
  let position = plan.position ?? 0;
  const entries: Entry[] = [];
  for (let i = 0; i < count; i++) {
    const index = fromIndex + i;
    const frame = Buffer.alloc(ENTRY_HEADER_SIZE_BYTES + payloadBytes);
    frame.fill(`${term}/${index}/`, ENTRY_HEADER_SIZE_BYTES);
    const meta = { index, term, position, type: entryType.records, recordCount: 1 };
    entries.push(sealEntry(frame, { ...meta, storeTimestampMs: storeTimestampMs + i }));
    position += frame.length;
  }
  return entries;
}

/** Entries that continue behind `entry`. */
export function makeEntriesBehind(entry: Entry, plan: EntriesPlan): Entry[] {
  return makeEntries({
    term: entry.term,
    storeTimestampMs: entry.storeTimestampMs + 1,
    ...plan,
    fromIndex: entry.index + 1,
    position: entry.position + entry.frame.length,
  });
}
