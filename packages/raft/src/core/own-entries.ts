import { ENTRY_HEADER_SIZE_BYTES, entryEnd, entryType, sealEntry, type Entry } from './entry.js';
import { type LeaderState } from './leader-state.js';
import { replicateNew } from './replication.js';
import { type Replica } from './replica.js';

/** An entry that changes nothing, but commits what lies before it, and tells logs apart that have it from others. */
export function appendNoop(replica: Replica, leader: LeaderState): void {
  const { log } = replica;
  const noop = sealEntry(Buffer.alloc(ENTRY_HEADER_SIZE_BYTES), {
    index: log.lastIndex + 1,
    term: replica.term,
    position: log.endPosition,
    type: entryType.noop,
    // The stamps of the log never go back, whatever this machine's wall clock says (R29).
    storeTimestampMs: Math.max(log.lastStoreTimestampMs, Math.floor(replica.wallMs)),
    recordCount: 0,
  });
  appendOwn(replica, leader, noop);
}

/** Writing and sending run side by side; this replica counts itself only after its own sync (R18). */
export function appendOwn(replica: Replica, leader: LeaderState, entry: Entry): void {
  replica.append(entry);
  leader.appended(entryEnd(entry));
  replicateNew(replica, leader, entry);
}
