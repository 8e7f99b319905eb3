import { MqError, varintSizeBytes, writeVarint } from '@raftmq/base';

/** Wire types of protobuf that our messages use. */
export const wireType = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/** Bytes of a varint field; 0 when the value is 0, which protobuf leaves out. Field numbers are below 16. */
export function varintFieldSize(value: number): number {
  return value === 0 ? 0 : 1 + varintSizeBytes(value);
}

/** Bytes of a length-delimited field with its tag and length. */
export function bytesFieldSize(sizeBytes: number): number {
  return 1 + varintSizeBytes(sizeBytes) + sizeBytes;
}

export function writeVarintField(into: Buffer, field: number, value: number, at: number): number {
  if (value === 0) return at;
  into[at++] = (field << 3) | wireType.varint;
  return writeVarint(into, value, at);
}

/** Tag and length of a length-delimited field; its bytes follow. */
export function writeBytesHeader(
  into: Buffer,
  field: number,
  sizeBytes: number,
  at: number,
): number {
  into[at++] = (field << 3) | wireType.bytes;
  return writeVarint(into, sizeBytes, at);
}

export function writeDoubleField(into: Buffer, field: number, value: number, at: number): number {
  if (value === 0) return at;
  into[at++] = (field << 3) | wireType.fixed64;
  return into.writeDoubleLE(value, at);
}

/**
 * Walks over the fields of one message. After `next`, exactly one of the value readers or `skip` is called.
 * Every reader throws MqError BAD_REQUEST when the bytes end early or a number is beyond 2^53-1 (R: nothing absurd may
 * reach the core), and never reads behind `end`.
 */
export class FieldReader {
  readonly #bytes: Buffer;
  readonly #end: number;
  #at: number;
  #wireType = 0;

  constructor(bytes: Buffer, at: number, end: number) {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = end;
  }

  /** The next field's number, or 0 at the end. */
  next(): number {
    if (this.#at === this.#end) return 0;
    const tag = this.#readVarint();
    const field = Math.floor(tag / 8);
    if (field === 0) throw malformed('field number 0');
    this.#wireType = tag % 8;
    return field;
  }

  number(): number {
    this.#expect(wireType.varint);
    return this.#readVarint();
  }

  boolean(): boolean {
    return this.number() !== 0;
  }

  double(): number {
    this.#expect(wireType.fixed64);
    const at = this.#advance(8);
    const value = this.#bytes.readDoubleLE(at);
    if (!Number.isFinite(value)) throw malformed('a number that is not finite');
    return value;
  }

  text(): string {
    return this.bytes().toString('utf8');
  }

  /** A view of the field's bytes. */
  bytes(): Buffer {
    this.#expect(wireType.bytes);
    const size = this.#readVarint();
    const at = this.#advance(size);
    return this.#bytes.subarray(at, at + size);
  }

  /** A reader of an embedded message. */
  message(): FieldReader {
    this.#expect(wireType.bytes);
    const size = this.#readVarint();
    const at = this.#advance(size);
    return new FieldReader(this.#bytes, at, at + size);
  }

  /** Passes over a field that a newer version added. */
  skip(): void {
    switch (this.#wireType) {
      case wireType.varint:
        this.#readVarint();
        break;
      case wireType.fixed64:
        this.#advance(8);
        break;
      case wireType.bytes:
        this.#advance(this.#readVarint());
        break;
      case wireType.fixed32:
        this.#advance(4);
        break;
      default:
        throw malformed(`wire type ${this.#wireType}`);
    }
  }

  #expect(type: number): void {
    if (this.#wireType !== type) throw malformed(`wire type ${this.#wireType} instead of ${type}`);
  }

  #advance(sizeBytes: number): number {
    if (sizeBytes > this.#end - this.#at) throw malformed('a field ends behind its message');
    const at = this.#at;
    this.#at += sizeBytes;
    return at;
  }

  #readVarint(): number {
    let value = 0;
    let factor = 1;
    for (let size = 0; size < 10; size++) {
      if (this.#at === this.#end) throw malformed('a number ends early');
      const byte = this.#bytes[this.#at++]!;
      value += (byte & 0x7f) * factor;
      if (value > Number.MAX_SAFE_INTEGER) throw malformed('a number beyond 2^53');
      if (byte < 0x80) return value;
      factor *= 0x80;
    }
    throw malformed('a number of more than 10 bytes');
  }
}

function malformed(what: string): MqError {
  return new MqError('BAD_REQUEST', `not a raft frame: ${what}`);
}
