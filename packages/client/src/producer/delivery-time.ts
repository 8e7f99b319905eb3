import { MqError } from '@raftmq/base';
import { DEFAULT_DELAY_LEVELS, delayOfLevel, parseDelayLevels } from '@raftmq/protocol';

/** When a message shall be delivered; at most one of these. A time that has passed means at once. */
export interface DeliveryTimeInput {
  /** Not delivered before; Unix milliseconds. */
  readonly deliveryTimestampMs?: number;
  /** Not delivered before. */
  readonly deliverAt?: Date;
  /** Not delivered before so many milliseconds from now, by this machine's clock. */
  readonly delayMs?: number;
  /** A delay level, as classic RocketMQ producers name them: 1 = 1 s … 18 = 2 h by default; 0 = no delay. */
  readonly delayLevel?: number;
}

/** Delays by level, in milliseconds. */
export type DelayLevels = readonly number[];

/** @throws MqError CONFIG_INVALID for a list that cannot be read */
export function delayLevels(text = DEFAULT_DELAY_LEVELS): DelayLevels {
  return parseDelayLevels(text);
}

/**
 * The delivery time of a message, Unix milliseconds; null = at once.
 * @throws MqError ILLEGAL_DELIVERY_TIME for what is no time, or for several
 */
export function deliveryTimeMs(
  input: DeliveryTimeInput,
  levels: DelayLevels,
  nowMs: number,
): number | null {
  const { deliveryTimestampMs, deliverAt, delayMs, delayLevel } = input;
  const given = [deliveryTimestampMs, deliverAt, delayMs, delayLevel];
  if (given.filter((value) => value !== undefined).length > 1) {
    throw new MqError(
      'ILLEGAL_DELIVERY_TIME',
      'give one of deliveryTimestampMs, deliverAt, delayMs and delayLevel, not several',
    );
  }
  let timeMs = deliveryTimestampMs ?? deliverAt?.getTime();
  if (delayMs !== undefined) timeMs = nowMs + delayMs;
  if (delayLevel !== undefined) {
    const levelMs = delayOfLevel(levels, delayLevel);
    if (levelMs === 0) return null;
    timeMs = nowMs + levelMs;
  }
  if (timeMs === undefined) return null;
  if (Number.isFinite(timeMs)) return Math.ceil(timeMs);
  throw new MqError('ILLEGAL_DELIVERY_TIME', `${timeMs} is no delivery time`);
}
