import { javaStringHashCode, type StoredView } from '@raftmq/protocol';

/**
 * The hash that the queue index holds beside a message's place: of its lite topic on topics of type LITE, of its tag
 * elsewhere, 0 without one.
 * @param liteName the message's lite topic, null on topics of other types
 */
export function indexHash(message: StoredView, liteName: string | null): number {
  return liteName === null ? message.tagHash() : javaStringHashCode(liteName);
}
