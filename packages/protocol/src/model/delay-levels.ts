import { MqError } from '@raftmq/base';

/** RocketMQ's 18 levels, as its brokers spell them. */
export const DEFAULT_DELAY_LEVELS = '1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h';

const unitMs: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const LEVELS_MAX = 64;

/**
 * Reads a list of delay levels: durations of seconds (s), minutes (m), hours (h) or days (d), separated by spaces. Level
 * n is the nth one, whatever their order.
 *
 * @returns the delays in milliseconds; level n is at n - 1
 * @throws MqError CONFIG_INVALID naming the part that cannot be read
 */
export function parseDelayLevels(text: string): readonly number[] {
  const parts = text.trim().split(/\s+/);
  if (parts.length > LEVELS_MAX) {
    throw new MqError(
      'CONFIG_INVALID',
      `there are ${parts.length} delay levels; at most ${LEVELS_MAX} are possible`,
    );
  }
  return parts.map((part) => {
    const match = /^(\d{1,9})([smhd])$/.exec(part);
    const delayMs = match === null ? 0 : Number(match[1]) * unitMs[match[2]!]!;
    if (delayMs > 0) return delayMs;
    throw new MqError(
      'CONFIG_INVALID',
      `the delay level "${part}" cannot be read; write a number above 0 and its unit, s, m, h or d, as in "${DEFAULT_DELAY_LEVELS}"`,
    );
  });
}

/**
 * The delay of a level, in milliseconds: 0 for level 0, that of the last level for all above it.
 *
 * @param levelsMs from {@link parseDelayLevels}
 * @param level a whole number, not negative
 * @throws MqError ILLEGAL_DELIVERY_TIME for anything else
 */
export function delayOfLevel(levelsMs: readonly number[], level: number): number {
  if (!Number.isSafeInteger(level) || level < 0) {
    throw new MqError(
      'ILLEGAL_DELIVERY_TIME',
      `the delay level ${level} is no whole number from 0 on; 0 means no delay`,
    );
  }
  return level === 0 ? 0 : levelsMs[Math.min(level, levelsMs.length) - 1]!;
}
