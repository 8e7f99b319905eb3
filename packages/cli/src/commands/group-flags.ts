import { type ConsumerGroupInfo } from '@raftmq/client';
import { type OptionTable, type ParsedOptions, UsageError } from '../command.js';
import { durationMsOf, timeOf } from '../times.js';

type RetryPolicy = NonNullable<ConsumerGroupInfo['retryPolicy']>;
type ConsumeFrom = NonNullable<ConsumerGroupInfo['consumeFrom']>;

/** Flags of a group's behaviour, shared by `group create` and `group update`. */
export const GROUP_OPTIONS: OptionTable = {
  'retry-waits': {
    value: 'LIST',
    doc: 'waits before a failed message comes again, as 1s,5s,30s; the last one holds on',
  },
  'retry-exponential': {
    value: 'INITIAL,MAX,FACTOR',
    doc: 'growing waits instead, as 5s,2h,2',
  },
  'retry-policy': {
    value: 'JSON',
    doc: 'the same as RocketMQ writes it: {"type":"EXPONENTIAL","exponentialRetryPolicy":{"initial":5000,"max":7200000,"multiplier":2}}',
  },
  'consume-from': {
    value: 'first|last|TIME',
    doc: 'where the group begins in a topic that it reads for the first time',
  },
  'consume-enable': {
    value: 'true|false',
    doc: 'false pauses the group: nothing is handed out, polls are held',
  },
};

/** What the flags change; fields that no flag names are left out. */
export function groupChanges(options: ParsedOptions): {
  retryPolicy?: RetryPolicy;
  consumeFrom?: ConsumeFrom;
  consumeEnabled?: boolean;
} {
  const retryPolicy = retryPolicyOf(options);
  return {
    ...(retryPolicy === null ? {} : { retryPolicy }),
    ...(options.has('consume-from') ? { consumeFrom: consumeFromOf(options) } : {}),
    ...(options.has('consume-enable') ? { consumeEnabled: options.flag('consume-enable') } : {}),
  };
}

/** One line about how failed messages come again. */
export function retryPolicyText(policy: RetryPolicy | undefined): string {
  if (policy === undefined) return "retries after RocketMQ's waits, 1 s to 2 h";
  if (policy.kind === 'list') return `retries after ${policy.waitsMs.map(seconds).join(', ')}`;
  const { initialMs, maxMs, multiplier } = policy;
  return `retries after ${seconds(initialMs)}, times ${multiplier}, up to ${seconds(maxMs)}`;
}

/** One line about where the group begins. */
export function consumeFromText(consumeFrom: ConsumeFrom | undefined): string {
  if (consumeFrom?.kind === 'timestamp') return new Date(consumeFrom.timestampMs).toISOString();
  return consumeFrom?.kind === 'last' ? 'behind the last message' : 'at the first message';
}

function retryPolicyOf(options: ParsedOptions): RetryPolicy | null {
  const given = ['retry-waits', 'retry-exponential', 'retry-policy'].filter((name) =>
    options.has(name),
  );
  if (given.length > 1) throw new UsageError(`give one of --${given.join(', --')}`);
  if (options.has('retry-waits')) {
    const waitsMs = options.text('retry-waits').split(',');
    return { kind: 'list', waitsMs: waitsMs.map((wait) => duration('retry-waits', wait)) };
  }
  if (options.has('retry-exponential')) {
    const [initial = '', max = '', factor = '', ...rest] = options
      .text('retry-exponential')
      .split(',');
    const multiplier = Number(factor);
    if (rest.length > 0 || factor === '' || !(multiplier >= 1)) {
      throw new UsageError('--retry-exponential takes three values, as 5s,2h,2');
    }
    const initialMs = duration('retry-exponential', initial);
    return {
      kind: 'exponential',
      initialMs,
      maxMs: duration('retry-exponential', max),
      multiplier,
    };
  }
  return options.has('retry-policy') ? policyOfJson(options.text('retry-policy')) : null;
}

interface JsonPolicy {
  readonly type?: unknown;
  readonly exponentialRetryPolicy?: {
    readonly initial?: unknown;
    readonly max?: unknown;
    readonly multiplier?: unknown;
  };
  readonly customizedRetryPolicy?: { readonly next?: unknown };
}

function policyOfJson(text: string): RetryPolicy {
  let json: JsonPolicy | null = null;
  try {
    json = JSON.parse(text) as JsonPolicy | null;
  } catch {
    // Told below, with what is expected.
  }
  const { initial, max, multiplier } = json?.exponentialRetryPolicy ?? {};
  const next = json?.customizedRetryPolicy?.next;
  if (
    json?.type === 'EXPONENTIAL' &&
    typeof initial === 'number' &&
    typeof max === 'number' &&
    typeof multiplier === 'number'
  ) {
    return { kind: 'exponential', initialMs: initial, maxMs: max, multiplier };
  }
  if (
    json?.type === 'CUSTOMIZED' &&
    Array.isArray(next) &&
    next.every((wait) => typeof wait === 'number')
  ) {
    return { kind: 'list', waitsMs: next };
  }
  throw new UsageError(
    '--retry-policy takes {"type":"EXPONENTIAL","exponentialRetryPolicy":{"initial":MS,"max":MS,"multiplier":N}} ' +
      'or {"type":"CUSTOMIZED","customizedRetryPolicy":{"next":[MS,…]}}',
  );
}

function consumeFromOf(options: ParsedOptions): ConsumeFrom {
  const word = options.text('consume-from');
  if (word === 'first' || word === 'last') return { kind: word };
  const timestampMs = timeOf(word, Date.now());
  if (timestampMs !== null) return { kind: 'timestamp', timestampMs };
  throw new UsageError(
    `--consume-from is "${word}"; it must be first, last, or a time as 2026-01-31T12:00:00Z or 30m (ago)`,
  );
}

function duration(flag: string, text: string): number {
  const ms = durationMsOf(text.trim());
  if (ms !== null) return ms;
  throw new UsageError(`--${flag}: "${text}" is no duration such as 500ms, 30s, 5m or 2h`);
}

function seconds(waitMs: number): string {
  return waitMs % 1000 === 0 ? `${waitMs / 1000} s` : `${waitMs} ms`;
}
