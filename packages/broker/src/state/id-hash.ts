/**
 * 64-bit hashes of short texts under a random seed, without a copy or an object per text: two 32-bit lanes that take
 * four bytes at a time. For tables of this process only; nothing that is stored or sent depends on it.
 *
 * A text and its UTF-8 bytes have the same hash.
 */
export class IdHash {
  /** Upper half of the last hash, unsigned. */
  high = 0;
  /** Lower half of the last hash, unsigned. */
  low = 0;
  readonly #seedA: number;
  readonly #seedB: number;

  /** @param seed at least 8 bytes */
  constructor(seed: Buffer) {
    this.#seedA = seed.readInt32LE(0);
    this.#seedB = seed.readInt32LE(4);
  }

  /** @param salt tells equal texts of different places apart */
  ofText(salt: number, text: string): void {
    const size = text.length;
    let a = this.#seedA ^ salt;
    let b = this.#seedB + salt;
    let all = 0;
    let i = 0;
    for (; i + 4 <= size; i += 4) {
      const c0 = text.charCodeAt(i);
      const c1 = text.charCodeAt(i + 1);
      const c2 = text.charCodeAt(i + 2);
      const c3 = text.charCodeAt(i + 3);
      all |= c0 | c1 | c2 | c3;
      const word = c0 | (c1 << 8) | (c2 << 16) | (c3 << 24);
      a = Math.imul(a ^ word, 0x9e3779b1);
      a = (a << 13) | (a >>> 19);
      b = Math.imul(b ^ word, 0x85ebca77);
      b = (b << 17) | (b >>> 15);
    }
    let last = 0;
    for (let shift = 0; i < size; i++, shift += 8) {
      const c = text.charCodeAt(i);
      all |= c;
      last |= c << shift;
    }
    if (all > 127) {
      const bytes = Buffer.from(text);
      return this.ofBytes(salt, bytes, 0, bytes.length);
    }
    this.#finish(a, b, last, size);
  }

  /** Hashes `bytes[start, end)`. */
  ofBytes(salt: number, bytes: Buffer, start: number, end: number): void {
    let a = this.#seedA ^ salt;
    let b = this.#seedB + salt;
    let i = start;
    for (; i + 4 <= end; i += 4) {
      const word = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
      a = Math.imul(a ^ word, 0x9e3779b1);
      a = (a << 13) | (a >>> 19);
      b = Math.imul(b ^ word, 0x85ebca77);
      b = (b << 17) | (b >>> 15);
    }
    let last = 0;
    for (let shift = 0; i < end; i++, shift += 8) last |= bytes[i]! << shift;
    this.#finish(a, b, last, end - start);
  }

  #finish(a: number, b: number, last: number, size: number): void {
    a = Math.imul(a ^ last, 0x9e3779b1) ^ size;
    b = Math.imul(b ^ last, 0x85ebca77) + size;
    a = Math.imul(a ^ (a >>> 16), 0x85ebca6b);
    b = Math.imul(b ^ (b >>> 15), 0x2c1b3c6d);
    a ^= b ^ (a >>> 13);
    b ^= Math.imul(a, 0xc2b2ae35) ^ (b >>> 12);
    this.high = (a ^ (a >>> 16)) >>> 0;
    this.low = (b ^ (b >>> 15)) >>> 0;
  }
}

/** A salt out of a name, for {@link IdHash}: the same in every process. */
export function nameSalt(name: string): number {
  let salt = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) salt = Math.imul(salt ^ name.charCodeAt(i), 0x01000193);
  return salt ^ (salt >>> 15);
}
