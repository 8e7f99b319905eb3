import { assert } from '@raftmq/base';

/** Java's String.hashCode: over UTF-16 units, a signed 32-bit number. Tags are indexed by it. */
export function javaStringHashCode(text: string): number {
  let hash = 0;
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0;
  return hash;
}

const LCG_MULTIPLIER = 2862933555777941757n;
const TWO_31 = 0x8000_0000;

/**
 * Jump consistent hash of a 64-bit key over `buckets` buckets: growing from n to n + 1 buckets moves 1/(n+1) of the keys.
 *
 * @param key taken modulo 2^64
 * @param buckets at least 1 (asserted)
 * @returns a bucket from 0 to buckets - 1
 * Source: Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm"; same numbers as Guava's consistentHash.
 */
export function jumpConsistentHash(key: bigint, buckets: number): number {
  assert(Number.isInteger(buckets), 'the number of buckets is an integer');
  assert(buckets >= 1, 'there is at least one bucket');
  let state = BigInt.asUintN(64, key);
  let candidate = 0;
  for (;;) {
    state = BigInt.asUintN(64, state * LCG_MULTIPLIER + 1n);
    const next = Math.floor((candidate + 1) / ((Number(state >> 33n) + 1) / TWO_31));
    if (next < 0 || next >= buckets) return candidate;
    candidate = next;
  }
}

/**
 * The queue of a message group: the same on every broker, for every sender, as long as the number of queues stays.
 *
 * @param messageGroup not empty
 * @param queueCount writable queues of the topic, at least 1
 * @returns index into the writable queues in ascending order of their ids
 */
export function fifoQueueIndex(messageGroup: string, queueCount: number): number {
  if (queueCount === 1) return 0;
  return jumpConsistentHash(BigInt(javaStringHashCode(messageGroup)), queueCount);
}
