import { assertSafeInteger, MqError, varintSizeBytes, writeVarint } from '@raftmq/base';

/** Appends small values to one growing Buffer. Numbers are varints: 0 .. 2^53-1. */
export class BinaryWriter {
  #bytes: Buffer;
  #size: number;

  /** @param reservedBytes zeroed bytes left free at the start, for a header that is filled in later */
  constructor(reservedBytes = 0, capacityBytes = 128) {
    // From the shared pool: a Buffer with memory of its own costs several times its bytes, and rows are many.
    this.#bytes = Buffer.allocUnsafe(Math.max(capacityBytes, reservedBytes));
    this.#bytes.fill(0, 0, reservedBytes);
    this.#size = reservedBytes;
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#size++] = value;
  }

  flag(value: boolean): void {
    this.byte(value ? 1 : 0);
  }

  varint(value: number): void {
    assertSafeInteger(value, 'a number in a binary record');
    this.#reserve(varintSizeBytes(value));
    this.#size = writeVarint(this.#bytes, value, this.#size);
  }

  /** UTF-8 with its length in bytes in front. */
  text(value: string): void {
    const sizeBytes = Buffer.byteLength(value);
    this.varint(sizeBytes);
    this.#reserve(sizeBytes);
    this.#size += this.#bytes.write(value, this.#size);
  }

  /** null and '' are different values. */
  optionalText(value: string | null): void {
    this.flag(value !== null);
    if (value !== null) this.text(value);
  }

  bytes(value: Buffer): void {
    this.varint(value.length);
    this.#reserve(value.length);
    this.#size += value.copy(this.#bytes, this.#size);
  }

  /** What was written; the writer must not be used afterwards. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#size);
  }

  #reserve(sizeBytes: number): void {
    const needed = this.#size + sizeBytes;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2));
    this.#bytes.copy(grown, 0, 0, this.#size);
    this.#bytes = grown;
  }
}

/**
 * Reads what {@link BinaryWriter} wrote. Every read checks the end of the bytes.
 * @throws MqError LOG_CORRUPTED from any method when the bytes end early or hold an impossible value
 */
export class BinaryReader {
  readonly #bytes: Buffer;
  readonly #end: number;
  readonly #what: string;
  #at: number;

  /** @param what names the bytes in an error, e.g. 'command ack' */
  constructor(bytes: Buffer, at: number, end: number, what: string) {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = Math.min(end, bytes.length);
    this.#what = what;
  }

  get remainingBytes(): number {
    return this.#end - this.#at;
  }

  byte(): number {
    if (this.#at >= this.#end) this.fail('ends early');
    return this.#bytes[this.#at++]!;
  }

  flag(): boolean {
    const value = this.byte();
    if (value > 1) this.fail(`has flag ${value}`);
    return value === 1;
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (!Number.isSafeInteger(value)) this.fail('has a number beyond 2^53');
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
  }

  /** A count of elements that need at least `sizeBytesMin` each: a damaged one cannot ask for more memory than there is. */
  count(sizeBytesMin: number): number {
    const value = this.varint();
    if (value * sizeBytesMin > this.remainingBytes)
      this.fail(`counts ${value} elements beyond its end`);
    return value;
  }

  text(): string {
    const sizeBytes = this.count(1);
    const value = this.#bytes.toString('utf8', this.#at, this.#at + sizeBytes);
    this.#at += sizeBytes;
    return value;
  }

  optionalText(): string | null {
    return this.flag() ? this.text() : null;
  }

  /** A copy. */
  bytes(): Buffer {
    const sizeBytes = this.count(1);
    const value = Buffer.from(this.#bytes.subarray(this.#at, this.#at + sizeBytes));
    this.#at += sizeBytes;
    return value;
  }

  /** Passes over whatever is left. */
  discard(): void {
    this.#at = this.#end;
  }

  /** Asserts that nothing is left. */
  finish(): void {
    if (this.remainingBytes !== 0) this.fail(`has ${this.remainingBytes} bytes too many`);
  }

  fail(how: string): never {
    throw new MqError(
      'LOG_CORRUPTED',
      `${this.#what} ${how}; the bytes passed their checksum, so this is a defect: report it`,
    );
  }
}
