import { varintSizeBytes, writeVarint, type ErrorCode, MqError } from '@raftmq/base';

/*
 * Protobuf's wire format, as much of it as our messages use. A tag is field number * 8 + wire type; decoders switch over
 * whole tags, so a known field with a foreign wire type counts as unknown and is skipped, as protobuf wants it.
 */

/** Wire types. Groups (3 and 4) died with proto2: they are refused. */
export const wireType = { VARINT: 0, FIXED64: 1, LENGTH: 2, FIXED32: 5 } as const;

const TWO_32 = 0x1_0000_0000;
/** The largest time a JavaScript date can hold; longer ones are cut to it, so that range checks see them. */
const TIME_MS_MAX = 8.64e15;

/**
 * Reads one protobuf message from a Buffer. Nested messages are read by the same reader between `enter` and `leave`;
 * nothing recurses, so depth costs nothing. Every method throws MqError BAD_REQUEST on bytes that are no protobuf.
 */
export class WireReader {
  readonly #buffer: Buffer;
  #at = 0;
  #end: number;
  #low = 0;
  #high = 0;

  /** Reads all of `buffer`; views handed out by {@link bytes} belong to it. */
  constructor(buffer: Buffer) {
    this.#buffer = buffer;
    this.#end = buffer.length;
  }

  /** Offset of the next byte. */
  get position(): number {
    return this.#at;
  }

  /** Whether the message that is being read has no more bytes. */
  get done(): boolean {
    return this.#at >= this.#end;
  }

  /** The next tag, 0 at the end of the message. */
  tag(): number {
    if (this.#at >= this.#end) return 0;
    const byte = this.#buffer[this.#at]!;
    let tag = byte;
    if (byte < 0x80) this.#at++;
    else {
      this.#varint();
      if (this.#high !== 0) throw this.#malformed('a field number is out of range');
      tag = this.#low;
    }
    if (tag < 8) throw this.#malformed('field number 0 does not exist');
    return tag;
  }

  /** Steps into a length-delimited field; give the result to {@link leave} once {@link tag} answered 0. */
  enter(): number {
    const size = this.#length();
    const outer = this.#end;
    this.#end = this.#at + size;
    return outer;
  }

  /** Steps out again, past whatever was not read. */
  leave(outer: number): void {
    this.#at = this.#end;
    this.#end = outer;
  }

  /** A signed 32-bit number; longer ones lose their upper bits, as in protobuf. Enums are read the same way. */
  int32(): number {
    this.#varint();
    return this.#low | 0;
  }

  /** A signed 64-bit number; beyond 2^53 it is refused. */
  int64(): number {
    this.#varint();
    if (this.#high === 0) return this.#low;
    const value = (this.#high | 0) * TWO_32 + this.#low;
    if (!Number.isSafeInteger(value)) throw this.#malformed('a 64-bit number is beyond 2^53');
    return value;
  }

  bool(): boolean {
    this.#varint();
    return this.#low !== 0 || this.#high !== 0;
  }

  /** A view of the bytes of a length-delimited field. */
  bytes(): Buffer {
    const size = this.#length();
    const start = this.#at;
    this.#at = start + size;
    return this.#buffer.subarray(start, this.#at);
  }

  /**
   * A string. Bytes that are no UTF-8 are refused, never replaced: two clients would see two names.
   *
   * @param code the error for a wrong string
   */
  text(code: ErrorCode = 'BAD_REQUEST'): string {
    const size = this.#length();
    const start = this.#at;
    this.#at = start + size;
    const text = this.#buffer.toString('utf8', start, start + size);
    // Node writes U+FFFD for what it cannot decode; it may also stand there by right, which only this rare case asks.
    if (
      text.includes('\ufffd') &&
      Buffer.compare(Buffer.from(text), this.#buffer.subarray(start, start + size)) !== 0
    ) {
      throw new MqError(code, 'a text is not valid UTF-8');
    }
    return text;
  }

  /** A google.protobuf.Timestamp or Duration in milliseconds; parts of a millisecond are cut off. */
  timeMs(): number {
    const outer = this.enter();
    let seconds = 0;
    let nanos = 0;
    for (let tag = this.tag(); tag !== 0; tag = this.tag()) {
      if (tag === 8) seconds = this.int64();
      else if (tag === 16) nanos = this.int32();
      else this.skip(tag);
    }
    this.leave(outer);
    const timeMs = seconds * 1000 + Math.floor(nanos / 1e6);
    return Math.max(-TIME_MS_MAX, Math.min(TIME_MS_MAX, timeMs));
  }

  /** Passes over a field that we do not know. */
  skip(tag: number): void {
    switch (tag & 7) {
      case wireType.VARINT:
        this.#varint();
        return;
      case wireType.FIXED64:
        this.#advance(8);
        return;
      case wireType.LENGTH:
        this.#advance(this.#length());
        return;
      case wireType.FIXED32:
        this.#advance(4);
        return;
      default:
        throw this.#malformed(`wire type ${tag & 7} is not supported`);
    }
  }

  #length(): number {
    this.#varint();
    const size = this.#low;
    if (this.#high !== 0 || size > this.#end - this.#at)
      throw this.#malformed('a field is longer than its message');
    return size;
  }

  #advance(count: number): void {
    if (count > this.#end - this.#at) throw this.#malformed('it is cut off');
    this.#at += count;
  }

  /** Reads a varint into two unsigned 32-bit halves. */
  #varint(): void {
    const buffer = this.#buffer;
    const end = this.#end;
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.#at >= end) throw this.#malformed('it is cut off');
      const byte = buffer[this.#at++]!;
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high = bits >>> 4;
      } else if (shift < 63) high |= bits << (shift - 32);
      else high |= (bits & 1) << 31;
      if (byte < 0x80) {
        this.#low = low >>> 0;
        this.#high = high >>> 0;
        return;
      }
    }
    throw this.#malformed('a number has more than ten bytes');
  }

  #malformed(what: string): MqError {
    return new MqError(
      'BAD_REQUEST',
      `the request is no valid message: ${what} (at byte ${this.#at})`,
    );
  }
}

/** A text up to this length is copied by a loop, which beats the call into the runtime. */
const SHORT_TEXT_LENGTH = 48;
const SHORT_COPY_BYTES = 48;

/**
 * Writes one protobuf message from its last byte to its first: so the length of a nested message is known when it is
 * needed, and nothing is written twice. Fields must be written in reverse order. Proto3 leaves out defaults: numbers of
 * 0 and empty texts are not written, except by the methods that say so.
 */
export class WireWriter {
  #buffer: Buffer;
  #at: number;

  /** @param sizeHint expected size in bytes; the writer grows when it was too low */
  constructor(sizeHint: number) {
    this.#buffer = Buffer.allocUnsafe(sizeHint);
    this.#at = sizeHint;
  }

  /** Bytes written so far; hand it to {@link message} to close a nested message that starts here. */
  get size(): number {
    return this.#buffer.length - this.#at;
  }

  /** The finished message, a view of the writer's buffer; the writer must not be used any more. */
  finish(): Buffer {
    return this.#buffer.subarray(this.#at);
  }

  /** Closes a nested message: everything written since `mark`, a former {@link size}. Written even when it is empty. */
  message(field: number, mark: number): void {
    this.#varint(this.size - mark);
    this.#varint(field * 8 + wireType.LENGTH);
  }

  /** A number of up to 53 bits and sign; 0 is not written. Also for enums. */
  int(field: number, value: number): void {
    if (value !== 0) this.presentInt(field, value);
  }

  /** A number that is written even when it is 0: `optional` fields, and members of a oneof. */
  presentInt(field: number, value: number): void {
    this.#varint(value);
    this.#varint(field * 8 + wireType.VARINT);
  }

  bool(field: number, value: boolean): void {
    if (value) this.presentInt(field, 1);
  }

  /** An empty text is not written. */
  text(field: number, value: string): void {
    if (value !== '') this.presentText(field, value);
  }

  /** A text that is written even when it is empty. Half surrogate pairs become U+FFFD: check names before. */
  presentText(field: number, value: string): void {
    const mark = this.size;
    this.#characters(value);
    this.message(field, mark);
  }

  /** Length-delimited bytes, also when empty. */
  bytes(field: number, value: Buffer): void {
    this.range(field, value, 0, value.length);
  }

  /** The bytes `from[start, end)` as a length-delimited field, also when empty. */
  range(field: number, from: Buffer, start: number, end: number): void {
    this.raw(from, start, end);
    this.#varint(end - start);
    this.#varint(field * 8 + wireType.LENGTH);
  }

  /** Bytes without tag and length: parts of a message that were encoded before. */
  raw(from: Buffer, start: number, end: number): void {
    const size = end - start;
    this.#reserve(size);
    const at = (this.#at -= size);
    if (size > SHORT_COPY_BYTES) from.copy(this.#buffer, at, start, end);
    else for (let i = 0; i < size; i++) this.#buffer[at + i] = from[start + i]!;
  }

  /** A google.protobuf.Timestamp or Duration. */
  timeMs(field: number, timeMs: number): void {
    const mark = this.size;
    const seconds = Math.floor(timeMs / 1000);
    this.int(2, (timeMs - seconds * 1000) * 1_000_000);
    this.int(1, seconds);
    this.message(field, mark);
  }

  #characters(value: string): void {
    const length = value.length;
    if (length <= SHORT_TEXT_LENGTH) {
      this.#reserve(length);
      const buffer = this.#buffer;
      let at = this.#at;
      let i = length - 1;
      for (; i >= 0; i--) {
        const unit = value.charCodeAt(i);
        if (unit >= 0x80) break;
        buffer[--at] = unit;
      }
      if (i < 0) {
        this.#at = at;
        return;
      }
    }
    const size = Buffer.byteLength(value);
    this.#reserve(size);
    this.#at -= size;
    this.#buffer.write(value, this.#at, size, size === length ? 'latin1' : 'utf8');
  }

  #varint(value: number): void {
    if (value >= 0 && value < 0x80) {
      this.#reserve(1);
      this.#buffer[--this.#at] = value;
      return;
    }
    if (value < 0) {
      this.#reserve(10);
      this.#at -= 10;
      let rest = BigInt.asUintN(64, BigInt(value));
      for (let i = 0; i < 9; i++, rest >>= 7n)
        this.#buffer[this.#at + i] = Number(rest & 0x7fn) | 0x80;
      this.#buffer[this.#at + 9] = 1;
      return;
    }
    const size = varintSizeBytes(value);
    this.#reserve(size);
    this.#at -= size;
    writeVarint(this.#buffer, value, this.#at);
  }

  #reserve(count: number): void {
    if (count <= this.#at) return;
    const used = this.size;
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, used + count + 64));
    this.#buffer.copy(grown, grown.length - used, this.#at);
    this.#buffer = grown;
    this.#at = grown.length - used;
  }
}
