import { isGroupTopic, storedExpiryMs } from '@raftmq/protocol';
import { type MessagingProbe } from './probe.js';

/**
 * Whether a stored message has outlived the time to live that its sender gave it; such are counted. In dead-letter and
 * retry topics nothing expires: what failed is kept for whoever has to look at it.
 */
export function isExpired(
  record: Buffer,
  topic: string,
  nowMs: number,
  probe: MessagingProbe,
): boolean {
  if (nowMs < storedExpiryMs(record) || isGroupTopic(topic)) return false;
  probe.messagesExpired++;
  return true;
}
