import { MqError } from '@raftmq/base';
import { consumeLimits, settingsDefaults } from '../limits.js';

/** How long a consumer group waits before it tries a failed message again. */
export type RetryPolicy =
  | {
      readonly kind: 'exponential';
      readonly initialMs: number;
      readonly maxMs: number;
      /** Each wait is the one before times this; kept to a thousandth. */
      readonly multiplier: number;
    }
  | {
      readonly kind: 'list';
      /** Wait before delivery n + 2 by n from 0; the last one holds for all later deliveries. At least one. */
      readonly waitsMs: readonly number[];
    };

/** Bounds of a {@link RetryPolicy}; ours. */
export const retryPolicyLimits = {
  waitsMax: 64,
  /** A wait becomes an invisible time, which may not be longer. */
  waitMsMax: consumeLimits.invisibleMsMax,
  multiplierMax: 100,
} as const;

/** RocketMQ's list of 18 waits: what a group does unless it says otherwise. */
export const defaultRetryPolicy: RetryPolicy = {
  kind: 'list',
  waitsMs: settingsDefaults.consumerBackoffMs,
};

/** @throws MqError BAD_REQUEST when a wait is out of bounds, or there is none */
export function checkRetryPolicy(policy: RetryPolicy): void {
  const { waitsMax, waitMsMax, multiplierMax } = retryPolicyLimits;
  const wait = (waitMs: number, what: string): void => {
    if (!Number.isSafeInteger(waitMs) || waitMs < 0 || waitMs > waitMsMax)
      throw illegal(`${what} is ${waitMs} ms; it must be from 0 to ${waitMsMax} ms`);
  };
  if (policy.kind === 'list') {
    const { waitsMs } = policy;
    if (waitsMs.length < 1 || waitsMs.length > waitsMax)
      throw illegal(`the list has ${waitsMs.length} waits; give 1 to ${waitsMax}`);
    for (const waitMs of waitsMs) wait(waitMs, 'a wait');
    return;
  }
  const { initialMs, maxMs, multiplier } = policy;
  wait(initialMs, 'the initial wait');
  wait(maxMs, 'the longest wait');
  if (maxMs < initialMs) throw illegal('the longest wait is shorter than the initial one');
  if (!(multiplier >= 1 && multiplier <= multiplierMax))
    throw illegal(`the multiplier is ${multiplier}; it must be from 1 to ${multiplierMax}`);
}

/** The wait between a failed delivery and the next one. @param attempt number of the failed delivery, from 1 */
export function retryWaitMs(policy: RetryPolicy, attempt: number): number {
  const n = Math.max(1, attempt) - 1;
  if (policy.kind === 'list') return policy.waitsMs[Math.min(n, policy.waitsMs.length - 1)] ?? 0;
  const { initialMs, maxMs, multiplier } = policy;
  return Math.round(Math.min(maxMs, initialMs * Math.pow(multiplier, n)));
}

/**
 * The waits of a policy one by one, for clients that know only lists. It ends where the waits stop growing, or with the
 * last retry that a message can have.
 */
export function retryWaitsMs(policy: RetryPolicy, maxAttempts: number): readonly number[] {
  if (policy.kind === 'list') return policy.waitsMs;
  const waits = [retryWaitMs(policy, 1)];
  const countMax = Math.min(retryPolicyLimits.waitsMax, Math.max(1, maxAttempts - 1));
  while (waits.length < countMax && waits.at(-1)! < policy.maxMs && policy.multiplier > 1)
    waits.push(retryWaitMs(policy, waits.length + 1));
  return waits;
}

function illegal(what: string): MqError {
  return new MqError('BAD_REQUEST', `the retry policy cannot be used: ${what}`);
}
