import { MqError } from '@raftmq/base';
import { checkGroupName, checkTopicName, OK_STATUS, statusOf } from '@raftmq/protocol';
import { deadLetterLimits, type DeadLetterDesk } from '../messaging-service/dead-letter-desk.js';
import { type Messaging, type ResetTarget } from '../messaging.js';

/** Requests of `raftmq.admin.v1.Admin` about offsets and dead letters, as the generic codec shows them. */
export interface WireReset {
  readonly group: string;
  readonly topic: string;
  readonly queueId: number;
  /** A number of ResetOffsetRequest.Target. */
  readonly target: number;
  readonly value: number;
  readonly dryRun: boolean;
}

export interface WireListDeadLetters {
  readonly group: string;
  readonly fromOffset: number;
  readonly countMax: number;
}

export interface WireResend {
  readonly group: string;
  readonly offsets: readonly number[];
}

/** ResetOffset. */
export async function resetOffset(messaging: Messaging, request: WireReset): Promise<object> {
  const { group, topic, queueId, dryRun } = request;
  checkGroupName(group);
  checkTopicName(topic);
  const queue = queueId < 0 ? null : queueId;
  const target = targetOf(request);
  return { queues: await messaging.resetOffset(group, topic, queue, target, dryRun) };
}

function targetOf({ target, value }: WireReset): ResetTarget {
  switch (target) {
    case 0:
      return { kind: 'beginning' };
    case 1:
      return { kind: 'end' };
    case 2:
      return { kind: 'timestamp', timestampMs: value };
    case 3:
      return { kind: 'offset', offset: value };
    default:
      throw new MqError('BAD_REQUEST', `the target ${target} of a reset is not known`);
  }
}

/** ListDeadLetters. */
export async function listDeadLetters(
  desk: Pick<DeadLetterDesk, 'page'>,
  { group, fromOffset, countMax }: WireListDeadLetters,
): Promise<object> {
  checkGroupName(group);
  const count = countMax > 0 ? countMax : deadLetterLimits.pageMax;
  const { letters, nextOffset, endOffset } = await desk.page(group, fromOffset, count);
  return {
    letters: letters.map((letter) => ({
      ...letter,
      tag: letter.tag ?? '',
      properties: Object.fromEntries(letter.properties),
    })),
    nextOffset,
    endOffset,
  };
}

/** ResendDeadLetters. */
export async function resendDeadLetters(
  desk: Pick<DeadLetterDesk, 'resend'>,
  { group, offsets }: WireResend,
): Promise<object> {
  checkGroupName(group);
  const outcomes = await desk.resend(group, offsets);
  return {
    outcomes: outcomes.map(({ queueOffset, error, sent }) => {
      const { code, message } = error === null ? OK_STATUS : statusOf(error, 'RAFTMQ');
      return { queueOffset, code, message, sent };
    }),
  };
}
