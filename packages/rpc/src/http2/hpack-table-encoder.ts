import { FIELD_OVERHEAD_BYTES } from './header-field.js';
import { STATIC_TABLE } from './hpack-static-table.js';

/** How a field that the peer does not know yet is written. */
export const keepRule = {
  /** It will come again: the peer keeps it. */
  ALWAYS: 0,
  /** The peer keeps it when it comes with the same value twice in a row. */
  REPEATED: 1,
  /** It is different each time. */
  NEVER: 2,
  /** A secret: nobody on the way keeps it either. */
  SECRET: 3,
} as const;

export type KeepRule = (typeof keepRule)[keyof typeof keepRule];

interface Entry {
  readonly name: string;
  readonly value: string;
  readonly sizeBytes: number;
}

/** Names with a value that is watched for its return. */
const WATCHED_NAMES_MAX = 64;

const staticNames = new Map<string, number>();
STATIC_TABLE.forEach(({ name }, index) => {
  if (index > 0 && !staticNames.has(name)) staticNames.set(name, index);
});

/** The index of a field in the static table. @throws Error when it is not there: a mistake of the program */
export function staticIndex(name: string, value: string): number {
  const index = STATIC_TABLE.findIndex((field) => field.name === name && field.value === value);
  if (index < 1) throw new Error(`${name}: ${value} is not in the static table`);
  return index;
}

/**
 * Encodes the header blocks of one connection, in the order in which they are sent (RFC 7541). A field that comes again
 * costs the peer and us one or two bytes.
 *
 *   begin ─► field, field, … ─► `sizeBytes` bytes of `block`, valid until the next `begin` of any encoder with that block
 */
export class HpackTableEncoder {
  readonly block: Buffer;
  sizeBytes = 0;
  #tableBytesMax: number;
  /** The smallest size since the last block; the peer must hear of it. */
  #smallestBytesMax: number;
  #announcedBytesMax: number;
  /** Oldest first; the entry at `i` is number `#evicted + i` of all that ever were. */
  readonly #entries: Entry[] = [];
  #evicted = 0;
  #tableBytes = 0;
  /** Name to value to its number. */
  readonly #numbers = new Map<string, Map<string, number>>();
  readonly #lastValues = new Map<string, string>();

  /**
   * @param block to write into; the caller sees to it that the fields fit
   * @param tableBytesMax what RFC 9113 lets us start with
   */
  constructor(block: Buffer, tableBytesMax: number) {
    this.block = block;
    this.#tableBytesMax = tableBytesMax;
    this.#smallestBytesMax = tableBytesMax;
    this.#announcedBytesMax = tableBytesMax;
  }

  /** The peer keeps no more than this. */
  resize(tableBytesMax: number): void {
    this.#tableBytesMax = tableBytesMax;
    this.#smallestBytesMax = Math.min(this.#smallestBytesMax, tableBytesMax);
    this.#evict(tableBytesMax);
  }

  begin(): void {
    this.sizeBytes = 0;
    if (this.#smallestBytesMax < this.#announcedBytesMax) {
      this.#integer(0x20, 0x1f, this.#smallestBytesMax);
      this.#announcedBytesMax = this.#smallestBytesMax;
    }
    if (this.#tableBytesMax !== this.#announcedBytesMax) {
      this.#integer(0x20, 0x1f, this.#tableBytesMax);
      this.#announcedBytesMax = this.#tableBytesMax;
    }
    this.#smallestBytesMax = this.#tableBytesMax;
  }

  /**
   * @param name in lower-case letters
   * @param value characters up to 0xff
   */
  field(name: string, value: string, rule: KeepRule): void {
    const number = this.#numbers.get(name)?.get(value);
    if (number !== undefined) {
      const age = this.#evicted + this.#entries.length - 1 - number;
      this.#integer(0x80, 0x7f, STATIC_TABLE.length + age);
      return;
    }
    if (this.#isKept(name, value, rule)) {
      this.#literal(0x40, 0x3f, name, value);
      this.#add(name, value);
    } else {
      this.#literal(rule === keepRule.SECRET ? 0x10 : 0x00, 0x0f, name, value);
    }
  }

  /** A field of the static table, by {@link staticIndex}. */
  staticField(index: number): void {
    this.#integer(0x80, 0x7f, index);
  }

  #isKept(name: string, value: string, rule: KeepRule): boolean {
    if (rule === keepRule.ALWAYS) return true;
    if (rule !== keepRule.REPEATED) return false;
    if (this.#lastValues.get(name) === value) return true;
    if (this.#lastValues.size >= WATCHED_NAMES_MAX) this.#lastValues.clear();
    this.#lastValues.set(name, value);
    return false;
  }

  #literal(head: number, indexMask: number, name: string, value: string): void {
    const index = staticNames.get(name) ?? 0;
    this.#integer(head, indexMask, index);
    if (index === 0) this.#string(name);
    this.#string(value);
  }

  #string(text: string): void {
    this.#integer(0, 0x7f, text.length);
    this.sizeBytes += this.block.write(text, this.sizeBytes, 'latin1');
  }

  /** A number with its first bits behind `head` in the first byte (RFC 7541, 5.1). */
  #integer(head: number, mask: number, value: number): void {
    const { block } = this;
    let at = this.sizeBytes;
    if (value < mask) {
      block[at++] = head | value;
    } else {
      block[at++] = head | mask;
      let rest = value - mask;
      for (; rest >= 0x80; rest >>>= 7) block[at++] = 0x80 | (rest & 0x7f);
      block[at++] = rest;
    }
    this.sizeBytes = at;
  }

  #add(name: string, value: string): void {
    const sizeBytes = name.length + value.length + FIELD_OVERHEAD_BYTES;
    // One that is larger than the table empties it and is not kept, as the peer does.
    this.#evict(this.#tableBytesMax - sizeBytes);
    if (sizeBytes > this.#tableBytesMax) return;
    this.#tableBytes += sizeBytes;
    let numbers = this.#numbers.get(name);
    if (numbers === undefined) this.#numbers.set(name, (numbers = new Map<string, number>()));
    numbers.set(value, this.#evicted + this.#entries.length);
    this.#entries.push({ name, value, sizeBytes });
  }

  #evict(downToBytes: number): void {
    while (this.#tableBytes > 0 && this.#tableBytes > downToBytes) {
      const { name, value, sizeBytes } = this.#entries.shift()!;
      this.#evicted++;
      this.#tableBytes -= sizeBytes;
      const numbers = this.#numbers.get(name)!;
      numbers.delete(value);
      if (numbers.size === 0) this.#numbers.delete(name);
    }
  }
}
