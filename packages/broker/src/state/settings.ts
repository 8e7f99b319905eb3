import { bytes, count, ms, type SettingsOf } from '@raftmq/base';

/** Settings of the state machine. */
export const stateSettings = {
  checkpointIntervalMs: ms({
    default: 5_000,
    min: 100,
    max: 600_000,
    doc: 'How often changed rows of the state are saved. A longer time makes a restart replay more of the log.',
  }),
  checkpointLogBytes: bytes({
    default: 256 * 1024 * 1024,
    min: 1024 * 1024,
    max: 64 * 1024 * 1024 * 1024,
    doc: 'Rows are saved earlier once this many bytes of log were applied: it bounds the time of a restart.',
  }),
  checkpointRowsMax: count({
    default: 16 * 1024,
    min: 16,
    max: 16 * 1024 * 1024,
    doc: 'Rows are saved earlier once this many have changed, or wait to be written: it bounds the memory of a checkpoint.',
  }),
  stateFlushIntervalMs: ms({
    default: 60_000,
    min: 100,
    max: 3_600_000,
    doc: 'How often saved rows are made durable. The log before is needed until then: a longer time keeps more of it.',
  }),
  sendDedupWindowMs: ms({
    default: 120_000,
    min: 0,
    max: 3_600_000,
    doc: 'How long a message id is remembered: a send repeated with the same id and body is stored once. 0 = off.',
  }),
  sendDedupMax: count({
    default: 1024 * 1024,
    min: 0,
    max: 16 * 1024 * 1024,
    doc: 'Most message ids remembered, 42 bytes each, taken as they are needed; rounded up to a power of two. 0 = off.',
  }),
  sendDedupRebuildBytes: bytes({
    default: 128 * 1024 * 1024,
    min: 0,
    max: 16 * 1024 * 1024 * 1024,
    doc: 'Most log read at the start to remember message ids again. What is older is forgotten by a restart.',
  }),
};

export type StateSettings = SettingsOf<typeof stateSettings>;
