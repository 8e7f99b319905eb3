import { durationMessage, type RetryPolicyMessage, type SettingsMessage } from '@raftmq/protocol';
import { type EdgeCall } from '../handlers/edge-call.js';

/** Patch number of the last 1.0 release of the Node.js SDK that is known to misread back-off times. */
const LAST_MISREADING_PATCH = 8;

/**
 * Writes the back-off of a Settings reply as the client's own version reads it.
 *
 * The Node.js SDK takes the `seconds` of a back-off for milliseconds and drops the rest, so 1 s would become 1 ms; the
 * reply is made for that, with 1000 "seconds" for 1 s. But only the versions known to do so may get it: a corrected SDK
 * would wait for a quarter of an hour, while one that is missed here merely retries too fast.
 */
export function fitBackoff(
  reply: SettingsMessage,
  call: Pick<EdgeCall, 'language' | 'clientVersion'>,
): SettingsMessage {
  if (call.language !== 'NODE_JS' || misreads(call.clientVersion)) return reply;
  const policy = reply.backoffPolicy;
  if (policy?.exponentialBackoff === undefined) return reply;
  return { ...reply, backoffPolicy: inRealSeconds(policy) };
}

function misreads(version: string): boolean {
  const match = /^1\.0\.(\d{1,4})$/.exec(version);
  return match !== null && Number(match[1]) <= LAST_MISREADING_PATCH;
}

function inRealSeconds(policy: RetryPolicyMessage): RetryPolicyMessage {
  const { initial, max, multiplier } = policy.exponentialBackoff!;
  return {
    maxAttempts: policy.maxAttempts,
    exponentialBackoff: {
      initial: durationMessage(initial?.seconds ?? 0),
      max: durationMessage(max?.seconds ?? 0),
      multiplier,
    },
  };
}
