import { propertyNameHash } from '../codec/properties.js';
import { storedProperties } from '../codec/stored-fields.js';
import { parseNumber } from './numbers.js';

const NO_RECORD = Buffer.alloc(0);
const NOT_PARSED = 0;
const PARSED = 1;

/**
 * The properties that a filter names, as views into one stored message at a time. One walk over the properties finds
 * them all; strings are made only where a condition asks for one.
 */
export class PropertySlots {
  readonly #names: readonly Buffer[];
  readonly #hashes: Int32Array;
  readonly #starts: Int32Array;
  readonly #ends: Int32Array;
  readonly #numbers: Float64Array;
  readonly #numberStates: Uint8Array;
  #record: Buffer = NO_RECORD;

  /** @param names ASCII, each once */
  constructor(names: readonly string[]) {
    this.#names = names.map((name) => Buffer.from(name, 'latin1'));
    this.#hashes = Int32Array.from(names, propertyNameHash);
    this.#starts = new Int32Array(names.length);
    this.#ends = new Int32Array(names.length);
    this.#numbers = new Float64Array(names.length);
    this.#numberStates = new Uint8Array(names.length);
  }

  /** Looks at another message from here on; `record` starts with it, and must stay as it is until {@link release}. */
  bind(record: Buffer): void {
    this.#record = record;
    this.#starts.fill(-1);
    this.#numberStates.fill(NOT_PARSED);
    const hashes = this.#hashes;
    const count = hashes.length;
    if (count === 0) return;
    const cursor = storedProperties(record);
    while (cursor.next()) {
      for (let slot = 0; slot < count; slot++) {
        if (hashes[slot] !== cursor.nameHash) continue;
        if (!cursor.nameIs(this.#names[slot]!, cursor.nameHash)) continue;
        // Of equal names the last one counts, as for every reader of a message.
        this.#starts[slot] = cursor.valueStart;
        this.#ends[slot] = cursor.valueEnd;
        break;
      }
    }
  }

  /** Lets go of the message, which may be a view of a large log entry. */
  release(): void {
    this.#record = NO_RECORD;
  }

  missing(slot: number): boolean {
    return this.#starts[slot]! < 0;
  }

  /** null when the message has no such property. */
  text(slot: number): string | null {
    if (this.missing(slot)) return null;
    return this.#record.toString('utf8', this.#starts[slot], this.#ends[slot]);
  }

  /** NaN when it is missing or no number. */
  number(slot: number): number {
    if (this.#numberStates[slot] === PARSED) return this.#numbers[slot]!;
    this.#numberStates[slot] = PARSED;
    const start = this.#starts[slot]!;
    const value = start < 0 ? NaN : parseNumber(this.#record, start, this.#ends[slot]!);
    this.#numbers[slot] = value;
    return value;
  }

  /** Whether the value is exactly these bytes; the property must not be missing. */
  equals(slot: number, bytes: Buffer): boolean {
    const start = this.#starts[slot]!;
    if (this.#ends[slot]! - start !== bytes.length) return false;
    return this.#sameAt(start, bytes);
  }

  startsWith(slot: number, bytes: Buffer): boolean {
    const start = this.#starts[slot]!;
    return this.#ends[slot]! - start >= bytes.length && this.#sameAt(start, bytes);
  }

  endsWith(slot: number, bytes: Buffer): boolean {
    const at = this.#ends[slot]! - bytes.length;
    return at >= this.#starts[slot]! && this.#sameAt(at, bytes);
  }

  contains(slot: number, bytes: Buffer): boolean {
    return this.#record.subarray(this.#starts[slot], this.#ends[slot]).includes(bytes);
  }

  #sameAt(at: number, bytes: Buffer): boolean {
    const record = this.#record;
    for (let i = 0; i < bytes.length; i++) if (record[at + i] !== bytes[i]) return false;
    return true;
  }
}
