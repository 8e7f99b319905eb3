import { type MqError } from '@raftmq/base';
import { type Entry } from '@raftmq/raft';
import { type Segment } from './segment.js';

/** Entries for one segment, in order, at the end of what was handed over before. */
export interface WriteOperation {
  readonly kind: 'write';
  readonly segment: Segment;
  readonly entries: readonly Entry[];
  readonly from: number;
  readonly end: number;
  readonly position: number;
  readonly sizeBytes: number;
  /** Counts truncations of the log: tells late writes of a replaced tail from the present one. */
  readonly epoch: number;
  readonly resolve: (() => void) | null;
  readonly reject: ((error: MqError) => void) | null;
}

/** Cuts the log back to `position` in `keep`; the segments behind it, ascending, disappear. */
export interface CutOperation {
  readonly kind: 'cut';
  readonly keep: Segment;
  readonly position: number;
  readonly dropped: readonly Segment[];
}

/** Brings the durable mark up to date after some idle time. */
export interface MarkOperation {
  readonly kind: 'mark';
}

/** Makes everything that was handed over before durable. */
export interface SyncOperation {
  readonly kind: 'sync';
  readonly resolve: () => void;
  readonly reject: (error: MqError) => void;
}

/** Everything the writer does, in the order it was asked for. */
export type Operation = WriteOperation | CutOperation | MarkOperation | SyncOperation;

/** Appends the frames of an operation to `frames`. */
export function pushFrames(frames: Buffer[], operation: WriteOperation): void {
  const { entries, end } = operation;
  for (let i = operation.from; i < end; i++) frames.push(entries[i]!.frame);
}
