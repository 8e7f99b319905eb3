import { bytes, ms, type SettingsOf } from '@raftmq/base';

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
  stateFlushIntervalMs: ms({
    default: 60_000,
    min: 100,
    max: 3_600_000,
    doc: 'How often saved rows are made durable. The log before is needed until then: a longer time keeps more of it.',
  }),
};

export type StateSettings = SettingsOf<typeof stateSettings>;
