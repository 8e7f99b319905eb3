import { bytes, count, flag, ms, text, type SettingsOf } from '@raftmq/base';
import { DEFAULT_DELAY_LEVELS, protocolLimits } from '@raftmq/protocol';

const MIB = 1024 * 1024;

/** Settings of messages that wait for their delivery time. */
export const timerSettings = {
  timerDelayMaxMs: ms({
    default: protocolLimits.delayMsMax,
    min: 1_000,
    max: 3_650 * 86_400_000,
    scope: 'cluster',
    doc: 'How far ahead the delivery time of a message may lie. Beyond, sending answers ILLEGAL_DELIVERY_TIME.',
  }),
  timersMax: count({
    default: 20_000_000,
    min: 1,
    max: 1_000_000_000,
    scope: 'cluster',
    doc: 'Messages of one broker group that may wait for their delivery time; they lie on disk. Beyond, sending more answers TOO_MANY_REQUESTS.',
  }),
  timersLoadedMax: count({
    default: 20_000,
    min: 64,
    max: 1_000_000,
    doc: 'Waiting messages that the leader keeps in memory: those due next. Fewer cost more reads when many are due at once.',
  }),
  timersLoadedBytesMax: bytes({
    default: 32 * MIB,
    min: 16 * MIB,
    max: 1024 * MIB,
    doc: 'Bytes of waiting messages that the leader keeps in memory.',
  }),
  recallEnable: flag({
    default: true,
    scope: 'cluster',
    doc: 'Producers may recall messages that wait for their delivery time.',
  }),
  messageDelayLevel: text({
    default: DEFAULT_DELAY_LEVELS,
    scope: 'cluster',
    doc:
      'Delays of the delay levels 1, 2, 3 … of classic producers: numbers with s, m, h or d, separated by spaces. ' +
      'Level 0 is no delay, a level above the last one is the last one.',
  }),
};

export type TimerSettings = SettingsOf<typeof timerSettings>;

/** The defaults of the table, with `overrides` laid over them. Values are not checked: the caller's loader did. */
export function timerConfig(overrides: Partial<TimerSettings> = {}): TimerSettings {
  const config: Record<string, unknown> = {};
  for (const [name, entry] of Object.entries(timerSettings)) config[name] = entry.default;
  return { ...config, ...overrides } as TimerSettings;
}
