import { isDeepStrictEqual } from 'node:util';
import { MqError } from '@raftmq/base';
import { checkRetryPolicy, type RetryPolicy } from '@raftmq/protocol';
import { type ConsumeFrom, type GroupConfig } from '../messaging.js';

/** `raftmq.admin.v1.Group` as the generic codec shows it. */
export interface WireGroup {
  readonly name: string;
  readonly fifo: boolean;
  readonly maxAttempts: number;
  readonly retryPolicy?: {
    readonly waitsMs: readonly number[];
    readonly initialMs: number;
    readonly maxMs: number;
    readonly multiplier: number;
  } | null;
  readonly consumeFrom: string;
  readonly consumeFromTimestampMs: number;
  readonly paused: boolean;
}

/** @throws MqError BAD_REQUEST for a policy or a start that cannot be used */
export function groupFromWire(group: WireGroup, maxAttempts: number): GroupConfig {
  const retryPolicy = retryPolicyOf(group);
  const consumeFrom = consumeFromOf(group);
  return {
    name: group.name,
    fifo: group.fifo,
    maxAttempts,
    ...(retryPolicy === null ? {} : { retryPolicy }),
    ...(consumeFrom === null ? {} : { consumeFrom }),
    ...(group.paused ? { consumeEnabled: false } : {}),
  };
}

export function groupToWire(group: GroupConfig): object {
  const { name, fifo, maxAttempts, retryPolicy, consumeFrom } = group;
  return {
    name,
    fifo,
    maxAttempts,
    ...(retryPolicy === undefined ? {} : { retryPolicy }),
    consumeFrom: consumeFrom?.kind ?? 'first',
    consumeFromTimestampMs: consumeFrom?.kind === 'timestamp' ? consumeFrom.timestampMs : 0,
    paused: group.consumeEnabled === false,
  };
}

/** Whether two configurations behave the same, left-out fields counting as their defaults. */
export function sameGroup(a: GroupConfig, b: GroupConfig): boolean {
  return isDeepStrictEqual(groupToWire(a), groupToWire(b));
}

function retryPolicyOf({ retryPolicy: wire }: WireGroup): RetryPolicy | null {
  if (wire === null || wire === undefined) return null;
  const { waitsMs, initialMs, maxMs, multiplier } = wire;
  if (waitsMs.length === 0 && initialMs === 0 && maxMs === 0 && multiplier === 0) return null;
  const policy: RetryPolicy =
    waitsMs.length > 0
      ? { kind: 'list', waitsMs }
      : { kind: 'exponential', initialMs, maxMs, multiplier };
  checkRetryPolicy(policy);
  return policy;
}

function consumeFromOf({
  consumeFrom: kind,
  consumeFromTimestampMs: timestampMs,
}: WireGroup): ConsumeFrom | null {
  if (kind === '' || kind === 'first') return null;
  if (kind === 'last') return { kind };
  if (kind === 'timestamp' && timestampMs >= 0) return { kind, timestampMs };
  throw new MqError(
    'BAD_REQUEST',
    `a group begins at "first", "last" or "timestamp" with a time, not at "${kind}"`,
  );
}
