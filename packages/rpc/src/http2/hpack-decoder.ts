import {
  FIELD_OVERHEAD_BYTES,
  fieldKind,
  type FieldKind,
  type HeaderField,
  kindOf,
} from './header-field.js';
import { STATIC_TABLE } from './hpack-static-table.js';
import { decodeHuffman } from './huffman.js';
import { ConnectionError } from './protocol.js';
import { StringCache } from './string-cache.js';

const SCRATCH_BYTES = 4096;
const scratch = Buffer.allocUnsafe(SCRATCH_BYTES);
/** Names, paths and little else: what comes with every call in the same bytes. */
const cache = new StringCache();

/**
 * Decodes the header blocks of one connection, in order (RFC 7541). Entries of the dynamic table are decoded and checked
 * once, when they come; a block that refers to them costs a look-up per field.
 *
 *   block   = *( 1xxxxxxx indexed | 01xxxxxx literal, kept | 0000xxxx or 0001xxxx literal | 001xxxxx new table size )
 *   literal = index of the name, or 0 and the name ; then the value; both as H|length (7+ bits), bytes
 */
export class HpackDecoder {
  readonly #tableBytesLimit: number;
  #tableBytesMax: number;
  /** A ring: the newest entry is at #newest, older ones follow upwards. */
  readonly #ring: (HeaderField | undefined)[];
  #newest = 0;
  #count = 0;
  #tableBytes = 0;
  #block: Buffer = scratch;
  #at = 0;
  #end = 0;

  /** @param tableBytesMax what our SETTINGS allow for the dynamic table */
  constructor(tableBytesMax: number) {
    this.#tableBytesLimit = tableBytesMax;
    this.#tableBytesMax = tableBytesMax;
    let slots = 1;
    while (slots * FIELD_OVERHEAD_BYTES < tableBytesMax) slots *= 2;
    this.#ring = new Array<HeaderField | undefined>(slots).fill(undefined);
  }

  /** Bytes of the dynamic table, as HPACK counts them. */
  get tableBytes(): number {
    return this.#tableBytes;
  }

  /**
   * Decodes one block, which the caller may reuse afterwards.
   * @param listBytesMax the block is decoded to its end even if the list is larger, to stay in step with the sender
   * @returns the fields in order; null when they are larger than that
   * @throws ConnectionError COMPRESSION_ERROR; the decoder is of no use any more
   */
  decode(block: Buffer, from: number, end: number, listBytesMax: number): HeaderField[] | null {
    this.#block = block;
    this.#at = from;
    this.#end = end;
    const fields: HeaderField[] = [];
    let listBytes = 0;
    let mayResize = true;
    while (this.#at < end) {
      const first = block[this.#at]!;
      let field: HeaderField;
      if (first >= 0x80) {
        field = this.#entry(this.#integer(0x7f));
      } else if (first >= 0x40) {
        field = this.#literal(0x3f);
        this.#add(field);
      } else if (first >= 0x20) {
        if (!mayResize) throw broken('a table size in the middle of a block');
        this.#resize(this.#integer(0x1f));
        continue;
      } else {
        field = this.#literal(0x0f);
      }
      mayResize = false;
      listBytes += field.sizeBytes;
      if (listBytes <= listBytesMax) fields.push(field);
    }
    this.#block = scratch;
    return listBytes <= listBytesMax ? fields : null;
  }

  #entry(index: number): HeaderField {
    if (index > 0 && index < STATIC_TABLE.length) return STATIC_TABLE[index]!;
    const place = index - STATIC_TABLE.length;
    if (index === 0 || place >= this.#count) throw broken(`there is no table entry ${index}`);
    return this.#ring[(this.#newest + place) & (this.#ring.length - 1)]!;
  }

  #literal(indexMask: number): HeaderField {
    const index = this.#integer(indexMask);
    let name: string;
    let kind: FieldKind;
    if (index === 0) {
      name = this.#string(true);
      kind = kindOf(name);
    } else {
      ({ name, kind } = this.#entry(index));
    }
    const value = this.#string(kind === fieldKind.PATH);
    const sizeBytes = name.length + value.length + FIELD_OVERHEAD_BYTES;
    if (!isValue(value)) kind = fieldKind.FORBIDDEN;
    return { name, value, kind, sizeBytes };
  }

  /** @param repeats whether the same string will probably come again */
  #string(repeats: boolean): string {
    if (this.#at >= this.#end) throw broken('a string is missing');
    const huffman = this.#block[this.#at]! >= 0x80;
    const size = this.#integer(0x7f);
    const from = this.#at;
    const end = from + size;
    if (end > this.#end) throw broken('a string ends behind its block');
    this.#at = end;
    if (!repeats) return decodeString(this.#block, from, end, huffman);
    const known = cache.get(this.#block, from, end, huffman);
    if (known !== null) return known;
    const text = decodeString(this.#block, from, end, huffman);
    cache.set(this.#block, from, end, huffman, text);
    return text;
  }

  /** A number whose first bits are in the current byte (RFC 7541, 5.1). */
  #integer(mask: number): number {
    let value = this.#block[this.#at++]! & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      if (this.#at >= this.#end) throw broken('a number ends early');
      const byte = this.#block[this.#at++]!;
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw broken('a number is too large');
  }

  #add(field: HeaderField): void {
    this.#evict(this.#tableBytesMax - field.sizeBytes);
    // A field larger than the table empties it, and is not kept.
    if (field.sizeBytes > this.#tableBytesMax) return;
    this.#newest = (this.#newest - 1) & (this.#ring.length - 1);
    this.#ring[this.#newest] = field;
    this.#count++;
    this.#tableBytes += field.sizeBytes;
  }

  #resize(sizeBytes: number): void {
    if (sizeBytes > this.#tableBytesLimit) throw broken('a table larger than we allow');
    this.#tableBytesMax = sizeBytes;
    this.#evict(sizeBytes);
  }

  #evict(downToBytes: number): void {
    while (this.#count > 0 && this.#tableBytes > downToBytes) {
      const oldest = (this.#newest + this.#count - 1) & (this.#ring.length - 1);
      this.#tableBytes -= this.#ring[oldest]!.sizeBytes;
      this.#ring[oldest] = undefined;
      this.#count--;
    }
  }
}

function decodeString(block: Buffer, from: number, end: number, huffman: boolean): string {
  if (!huffman) return block.toString('latin1', from, end);
  const sizeMax = Math.ceil(((end - from) * 8) / 5);
  const target = sizeMax <= SCRATCH_BYTES ? scratch : Buffer.allocUnsafe(sizeMax);
  return target.toString('latin1', 0, decodeHuffman(block, from, end, target));
}

/** No NUL, CR or LF (RFC 9113, 8.2.1). Blanks at the ends are let pass: old clients send them, and they do no harm. */
function isValue(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const char = value.charCodeAt(i);
    if (char <= 13 && (char === 0 || char === 10 || char === 13)) return false;
  }
  return true;
}

function broken(message: string): ConnectionError {
  return new ConnectionError('COMPRESSION_ERROR', message);
}
