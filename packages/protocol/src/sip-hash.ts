import { assert } from '@raftmq/base';

/** The four 32-bit words of a SipHash key, out of the first 16 of `bytes` (at least 16, asserted). */
export function sipHash128Key(bytes: Buffer): Uint32Array {
  assert(bytes.length >= 16, 'a SipHash key has 16 bytes');
  return Uint32Array.of(
    bytes.readUInt32LE(0),
    bytes.readUInt32LE(4),
    bytes.readUInt32LE(8),
    bytes.readUInt32LE(12),
  );
}

/**
 * SipHash-2-4 of 16-byte messages under one key: a keyed tag for a few numbers in a fraction of a microsecond, where an
 * HMAC takes several. All 64-bit words are kept as two 32-bit halves.
 * Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF".
 */
export class SipHash {
  /** Upper half of the last hash. */
  high = 0;
  /** Lower half of the last hash. */
  low = 0;
  readonly #start: Int32Array;
  /** v0 to v3, each as low and high half. */
  readonly #v = new Int32Array(8);

  /** @param key from {@link sipHash128Key} */
  constructor(key: Uint32Array) {
    const [k0 = 0, k1 = 0, k2 = 0, k3 = 0] = key;
    this.#start = Int32Array.of(
      k0 ^ 0x70736575,
      k1 ^ 0x736f6d65,
      k2 ^ 0x6e646f6d,
      k3 ^ 0x646f7261,
      k0 ^ 0x6e657261,
      k1 ^ 0x6c796765,
      k2 ^ 0x79746573,
      k3 ^ 0x74656462,
    );
  }

  /** Hashes the message of the four words, lower halves first; the result is in `high` and `low`. */
  hash(low0: number, high0: number, low1: number, high1: number): void {
    const v = this.#v;
    v.set(this.#start);
    compress(v, low0, high0);
    compress(v, low1, high1);
    // The last block holds the length, 16, in its top byte.
    compress(v, 0, 16 << 24);
    v[4]! ^= 0xff;
    rounds(v, 4);
    this.low = (v[0]! ^ v[2]! ^ v[4]! ^ v[6]!) >>> 0;
    this.high = (v[1]! ^ v[3]! ^ v[5]! ^ v[7]!) >>> 0;
  }
}

function compress(v: Int32Array, low: number, high: number): void {
  v[6]! ^= low;
  v[7]! ^= high;
  rounds(v, 2);
  v[0]! ^= low;
  v[1]! ^= high;
}

function rounds(v: Int32Array, count: number): void {
  let l0 = v[0]!;
  let h0 = v[1]!;
  let l1 = v[2]!;
  let h1 = v[3]!;
  let l2 = v[4]!;
  let h2 = v[5]!;
  let l3 = v[6]!;
  let h3 = v[7]!;
  let low = 0;
  for (let i = 0; i < count; i++) {
    // v0 += v1; v1 = rotl(v1, 13) ^ v0; v0 = rotl(v0, 32)
    low = (l0 >>> 0) + (l1 >>> 0);
    h0 = (h0 + h1 + (low > 0xffff_ffff ? 1 : 0)) | 0;
    l0 = low | 0;
    low = (l1 << 13) | (h1 >>> 19);
    h1 = ((h1 << 13) | (l1 >>> 19)) ^ h0;
    l1 = low ^ l0;
    low = l0;
    l0 = h0;
    h0 = low;
    // v2 += v3; v3 = rotl(v3, 16) ^ v2
    low = (l2 >>> 0) + (l3 >>> 0);
    h2 = (h2 + h3 + (low > 0xffff_ffff ? 1 : 0)) | 0;
    l2 = low | 0;
    low = (l3 << 16) | (h3 >>> 16);
    h3 = ((h3 << 16) | (l3 >>> 16)) ^ h2;
    l3 = low ^ l2;
    // v0 += v3; v3 = rotl(v3, 21) ^ v0
    low = (l0 >>> 0) + (l3 >>> 0);
    h0 = (h0 + h3 + (low > 0xffff_ffff ? 1 : 0)) | 0;
    l0 = low | 0;
    low = (l3 << 21) | (h3 >>> 11);
    h3 = ((h3 << 21) | (l3 >>> 11)) ^ h0;
    l3 = low ^ l0;
    // v2 += v1; v1 = rotl(v1, 17) ^ v2; v2 = rotl(v2, 32)
    low = (l2 >>> 0) + (l1 >>> 0);
    h2 = (h2 + h1 + (low > 0xffff_ffff ? 1 : 0)) | 0;
    l2 = low | 0;
    low = (l1 << 17) | (h1 >>> 15);
    h1 = ((h1 << 17) | (l1 >>> 15)) ^ h2;
    l1 = low ^ l2;
    low = l2;
    l2 = h2;
    h2 = low;
  }
  v[0] = l0;
  v[1] = h0;
  v[2] = l1;
  v[3] = h1;
  v[4] = l2;
  v[5] = h2;
  v[6] = l3;
  v[7] = h3;
}
