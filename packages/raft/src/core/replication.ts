import { assert } from '@raftmq/base';
import { type Entry } from './entry.js';
import { type LeaderState } from './leader-state.js';
import { type Progress } from './progress.js';
import { type Replica } from './replica.js';
import { type AppendResponse } from './types.js';

const NO_ENTRIES: readonly Entry[] = [];

/** Entries in one request, at most, however small they are: a receiver refuses more. */
export const APPEND_ENTRIES_MAX = 65_536;

/** Sends what the follower's window has room for; nothing when there is nothing new. */
export function replicateTo(replica: Replica, leader: LeaderState, progress: Progress): void {
  const { log } = replica;
  noticeCompaction(replica, progress);
  if (progress.state === 'probe') return probe(replica, leader, progress);
  const lastIndex = log.lastIndex;
  while (progress.nextIndex <= lastIndex && progress.hasRoom) {
    const entries = readFrom(replica, progress.nextIndex);
    sendEntries(replica, leader, progress, entries, sizeBytesOf(entries));
  }
}

/** The leader appended one entry: followers that are up to date share one array, the others take their turn. */
export function replicateNew(replica: Replica, leader: LeaderState, entry: Entry): void {
  const entries: readonly Entry[] = [entry];
  const sizeBytes = entry.frame.length;
  for (const progress of leader.progress) {
    const isNext = progress.nextIndex === entry.index;
    if (isNext && progress.state === 'replicate' && progress.hasRoom) {
      sendEntries(replica, leader, progress, entries, sizeBytes);
    } else {
      replicateTo(replica, leader, progress);
    }
  }
}

/**
 * A request without entries, on a fixed schedule whatever else is under way: the follower answers at once, even while
 * its disk is slow, and a gap before `nextIndex` comes to light by its refusal.
 */
export function sendHeartbeat(replica: Replica, leader: LeaderState, progress: Progress): void {
  noticeCompaction(replica, progress);
  sendRequest(replica, leader, progress, NO_ENTRIES);
}

/**
 * Where a refused follower may have the last entry in common (R16): never above what it refused, and at most one
 * refusal for each term that differs.
 */
export function nextAfterRefusal(replica: Replica, refusal: AppendResponse): number {
  const { log } = replica;
  const { conflictTerm, conflictFirstIndex } = refusal;
  const hintIndex = Math.min(refusal.matchIndex, refusal.lastIndex, log.lastIndex);
  if (hintIndex < log.firstIndex - 1) return hintIndex + 1;
  // The last entry here, up to the hint, whose term is not above the follower's.
  let index = hintIndex;
  while (index >= log.firstIndex && log.termAt(index) > conflictTerm) {
    index = log.firstIndexOfTermAt(index) - 1;
  }
  if (log.termAt(index) === conflictTerm && index >= conflictFirstIndex) return index + 1;
  return Math.max(1, Math.min(index + 1, conflictFirstIndex));
}

/** Retention may pass a follower at any time: from then on the log cannot feed it. */
function noticeCompaction(replica: Replica, progress: Progress): void {
  if (progress.state === 'needs-install' || progress.nextIndex >= replica.log.firstIndex) return;
  progress.needsInstall();
}

/**
 * One request behind nextIndex - 1. Entries go along only when they are of this term, so that a follower that is up
 * to date commits the no-op in one round, and a long search moves no data.
 */
function probe(replica: Replica, leader: LeaderState, progress: Progress): void {
  if (!progress.hasRoom) return;
  const { log } = replica;
  const { nextIndex } = progress;
  const carries = nextIndex >= leader.noopIndex && nextIndex <= log.lastIndex;
  const entries = carries ? readFrom(replica, nextIndex) : NO_ENTRIES;
  sendEntries(replica, leader, progress, entries, sizeBytesOf(entries));
}

function readFrom({ log, config }: Replica, fromIndex: number): readonly Entry[] {
  const throughIndex = Math.min(log.lastIndex, fromIndex + APPEND_ENTRIES_MAX - 1);
  return log.read(fromIndex, throughIndex, config.maxAppendBytes);
}

function sendEntries(
  replica: Replica,
  leader: LeaderState,
  progress: Progress,
  entries: readonly Entry[],
  sizeBytes: number,
): void {
  sendRequest(replica, leader, progress, entries);
  progress.sent(progress.nextIndex + entries.length - 1, sizeBytes);
}

function sendRequest(
  replica: Replica,
  leader: LeaderState,
  progress: Progress,
  entries: readonly Entry[],
): void {
  const { log } = replica;
  // Index 0 matches every log: all that a follower can be told for whom this log starts too late.
  const prevIndex = progress.state === 'needs-install' ? 0 : progress.nextIndex - 1;
  assert(prevIndex === 0 || prevIndex >= log.firstIndex - 1, 'the entry before is still known');
  replica.send({
    kind: 'append-request',
    from: replica.id,
    to: progress.id,
    term: replica.term,
    prevIndex,
    prevTerm: prevIndex === 0 ? 0 : log.termAt(prevIndex),
    commitIndex: replica.commitIndex,
    entries,
    sentAtMs: Math.floor(replica.nowMs),
    readRound: leader.reads.round,
  });
}

function sizeBytesOf(entries: readonly Entry[]): number {
  let sizeBytes = 0;
  for (const entry of entries) sizeBytes += entry.frame.length;
  return sizeBytes;
}
