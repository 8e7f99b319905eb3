/** Strings longer than this are not worth a comparison. */
const BYTES_MAX = 96;
const SLOTS = 512;

interface Slot {
  readonly bytes: Buffer;
  readonly huffman: boolean;
  readonly text: string;
}

/**
 * Remembers what encoded strings mean: the same bytes give the same string object, without decoding. A fixed number of
 * slots, the newer string wins: a stranger can make it useless, not large. Strings that differ in one bit only of the
 * encoding are different ones here, so nobody can put a meaning under another's bytes.
 */
export class StringCache {
  readonly #slots = new Array<Slot | undefined>(SLOTS).fill(undefined);
  #slot = 0;

  /** What `block[from, end)` means; null = not known. Remembers the place for a `set` right after it. */
  get(block: Buffer, from: number, end: number, huffman: boolean): string | null {
    if (end - from > BYTES_MAX) return null;
    let hash = end - from;
    for (let i = from; i < end; i++) hash = (Math.imul(hash, 31) + block[i]!) | 0;
    this.#slot = (hash ^ (hash >>> 15)) & (SLOTS - 1);
    const known = this.#slots[this.#slot];
    if (known === undefined || known.huffman !== huffman) return null;
    const { bytes } = known;
    if (bytes.length !== end - from) return null;
    for (let i = 0; i < bytes.length; i++) if (bytes[i] !== block[from + i]) return null;
    return known.text;
  }

  /** Keeps the meaning that the last `get` did not know. */
  set(block: Buffer, from: number, end: number, huffman: boolean, text: string): void {
    if (end - from > BYTES_MAX) return;
    const bytes = Buffer.from(block.subarray(from, end));
    this.#slots[this.#slot] = { bytes, huffman, text };
  }
}
