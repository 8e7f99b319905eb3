import { javaStringHashCode, storedTag } from '@raftmq/protocol';

/**
 * The hash that the queue index holds beside a message's place: of its lite topic on topics of type LITE, of its tag
 * elsewhere, 0 without one.
 * @param liteName the message's lite topic, null on topics of other types
 */
export function indexHash(record: Buffer, liteName: string | null): number {
  if (liteName !== null) return javaStringHashCode(liteName);
  const tag = storedTag(record);
  return tag === null ? 0 : javaStringHashCode(tag);
}
