/** What a term of the message index says; part of its hash, so that equal bytes of different kinds stay apart. */
export const termKind = { messageId: 1, key: 2, queueRange: 3 } as const;
export type TermKind = (typeof termKind)[keyof typeof termKind];

/**
 * 64-bit hash of a term, as two 32-bit lanes. Fed piece by piece; nothing is allocated. Not keyed: equal on every
 * replica and across restarts, and part of the file format. Whoever looks something up compares the real bytes.
 *
 * Each lane takes four bytes at a time with MurmurHash3's block step, under its own constants, and ends with its
 * finalizer (source: Austin Appleby, public domain).
 */
export class TermHash {
  high = 0;
  low = 0;
  #length = 0;

  start(kind: TermKind): void {
    this.high = Math.imul(kind, 0x9e3779b1);
    this.low = Math.imul(kind, 0x85ebca77) ^ 0x5bd1e995;
    this.#length = 0;
  }

  bytes(bytes: Buffer, start: number, end: number): void {
    let high = this.high;
    let low = this.low;
    let at = start;
    for (; at + 4 <= end; at += 4) {
      const word =
        bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
      high = mixHigh(high, word);
      low = mixLow(low, word);
    }
    if (at < end) {
      let word = 0;
      for (let shift = 0; at < end; at++, shift += 8) word |= bytes[at]! << shift;
      high = mixHigh(high, word);
      low = mixLow(low, word);
    }
    this.high = high;
    this.low = low;
    // Between pieces: "ab" + "c" is not "a" + "bc".
    this.#length = Math.imul(this.#length, 31) + (end - start);
  }

  /** As {@link bytes} over the characters of a name, which are ASCII. */
  ascii(text: string): void {
    let high = this.high;
    let low = this.low;
    const end = text.length;
    let at = 0;
    while (at < end) {
      let word = 0;
      for (let shift = 0; shift < 32 && at < end; at++, shift += 8)
        word |= text.charCodeAt(at) << shift;
      high = mixHigh(high, word);
      low = mixLow(low, word);
    }
    this.high = high;
    this.low = low;
    this.#length = Math.imul(this.#length, 31) + end;
  }

  /** A non-negative safe integer. */
  number(value: number): void {
    const upper = Math.floor(value / 0x1_0000_0000);
    this.high = mixHigh(mixHigh(this.high, value | 0), upper);
    this.low = mixLow(mixLow(this.low, value | 0), upper);
  }

  /** The hash is in `high` and `low` then, both unsigned. */
  finish(): void {
    this.high = avalanche(this.high ^ this.#length);
    this.low = avalanche(this.low ^ Math.imul(this.#length, 0x9e3779b1));
  }
}

function mixHigh(lane: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  const mixed = lane ^ k;
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) | 0;
}

function mixLow(lane: number, word: number): number {
  let k = Math.imul(word, 0x239b961b);
  k = Math.imul((k << 17) | (k >>> 15), 0xab0e9789);
  const mixed = lane ^ k;
  return (Math.imul((mixed << 11) | (mixed >>> 21), 5) + 0x561ccd1b) | 0;
}

function avalanche(lane: number): number {
  let h = lane;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
