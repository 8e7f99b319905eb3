import { type BinaryReader, type BinaryWriter } from '../pop/binary.js';

/** Gaps that one set may have. */
const RANGES_MAX = 10_000;

/** A set of offsets as ascending ranges that do not touch: small when offsets come in runs. */
export class OffsetRanges {
  readonly #froms: number[] = [];
  /** Exclusive. */
  readonly #ends: number[] = [];

  get rangeCount(): number {
    return this.#froms.length;
  }

  has(offset: number): boolean {
    const at = this.#find(offset);
    return at >= 0 && offset < this.#ends[at]!;
  }

  /** Whether the offset would need a range more than there may be. */
  full(offset: number): boolean {
    if (this.#froms.length < RANGES_MAX || this.has(offset)) return false;
    const at = this.#find(offset);
    return this.#ends[at] !== offset && this.#froms[at + 1] !== offset + 1;
  }

  add(offset: number): void {
    const at = this.#find(offset);
    if (at >= 0 && offset < this.#ends[at]!) return;
    const joinsBefore = at >= 0 && this.#ends[at] === offset;
    const joinsBehind = this.#froms[at + 1] === offset + 1;
    if (joinsBefore && joinsBehind) {
      this.#ends[at] = this.#ends[at + 1]!;
      this.#froms.splice(at + 1, 1);
      this.#ends.splice(at + 1, 1);
    } else if (joinsBefore) this.#ends[at] = offset + 1;
    else if (joinsBehind) this.#froms[at + 1] = offset;
    else {
      this.#froms.splice(at + 1, 0, offset);
      this.#ends.splice(at + 1, 0, offset + 1);
    }
  }

  /** Writes (gap to the end of the range before, count)*. */
  write(writer: BinaryWriter): void {
    writer.varint(this.#froms.length);
    let end = 0;
    for (let i = 0; i < this.#froms.length; i++) {
      writer.varint(this.#froms[i]! - end);
      writer.varint(this.#ends[i]! - this.#froms[i]!);
      end = this.#ends[i]!;
    }
  }

  /** Fills an empty set with what {@link write} wrote. */
  read(reader: BinaryReader): void {
    let end = 0;
    for (let left = reader.count(2); left > 0; left--) {
      const from = end + reader.varint();
      end = from + reader.varint();
      this.#froms.push(from);
      this.#ends.push(end);
    }
  }

  /** Index of the last range that begins at or before the offset; -1 without one. */
  #find(offset: number): number {
    let low = 0;
    let high = this.#froms.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#froms[middle]! <= offset) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
