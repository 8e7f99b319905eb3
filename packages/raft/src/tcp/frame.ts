import { crc32, MqError, readInt64 } from '@raftmq/base';

/**
 * What travels between two replicas: frames, each a head and, for appended entries, a body.
 *
 *   offset size field
 *        0    2 magic 0x524d ("RM")
 *        2    1 kind, see `frameKind`
 *        3    1 reserved, 0
 *        4    4 controlSizeBytes
 *        8    4 bodySizeBytes
 *       12    4 CRC-32 of the 12 bytes above and the control part
 *       16      control part: the fields of the kind; a newer version may add some behind the known ones
 *         .     body: entries back to back, as they lie on disk, with sums of their own
 *
 * All numbers are big-endian. `docs/formats/raft-wire.md` has the control parts.
 */
export const FRAME_PREFIX_SIZE_BYTES = 16;
export const FRAME_MAGIC = 0x524d;
/** Bounds what a receiver gathers before it can check the sum. */
export const CONTROL_SIZE_BYTES_MAX = 4096;

export const frameKind = {
  hello: 1,
  answer: 2,
  /** Why the connection is closed, in the last frame. */
  goodbye: 3,
  /** A sign of life. */
  alive: 4,
  /** The sender was admitted: its hello would say so now. */
  standing: 5,
  'vote-request': 16,
  'vote-response': 17,
  'append-request': 18,
  'append-response': 19,
  'timeout-now': 20,
  admission: 21,
} as const;

/** A frame with room for its control part, which the caller fills in from offset 16 and then seals. */
export function newFrame(kind: number, controlSizeBytes: number, bodySizeBytes: number): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_PREFIX_SIZE_BYTES + controlSizeBytes);
  frame.writeUInt16BE(FRAME_MAGIC, 0);
  frame[2] = kind;
  frame[3] = 0;
  frame.writeUInt32BE(controlSizeBytes, 4);
  frame.writeUInt32BE(bodySizeBytes, 8);
  return frame;
}

/** Writes the sum; the head is then ready to be sent. */
export function sealFrame(frame: Buffer): Buffer {
  frame.writeUInt32BE(headSum(frame, frame.length), 12);
  return frame;
}

/** Sum of a head of `sizeBytes`, leaving out the field that holds it. */
export function headSum(head: Buffer, sizeBytes: number): number {
  return crc32(head.subarray(FRAME_PREFIX_SIZE_BYTES, sizeBytes), crc32(head.subarray(0, 12)));
}

/**
 * Reads the fields of a control part one after the other. Every reader throws MqError BAD_REQUEST when the part is too
 * short, or a number is negative or beyond 2^53-1: nothing absurd may reach the core. What is left at the end was added
 * by a newer version.
 */
export class ControlReader {
  readonly #control: Buffer;
  #at = 0;

  constructor(control: Buffer) {
    this.#control = control;
  }

  byte(): number {
    return this.#control[this.#advance(1)]!;
  }

  uint16(): number {
    return this.#control.readUInt16BE(this.#advance(2));
  }

  uint32(): number {
    return this.#control.readUInt32BE(this.#advance(4));
  }

  /** A number of 8 bytes. */
  number(): number {
    const at = this.#advance(8);
    if (this.#control[at]! > 0 || this.#control[at + 1]! > 0x1f)
      throw malformed('a number beyond 2^53');
    return readInt64(this.#control, at);
  }

  /** A time: a double, finite. */
  double(): number {
    const value = this.#control.readDoubleBE(this.#advance(8));
    if (!Number.isFinite(value)) throw malformed('a time that is not finite');
    return value;
  }

  /** Text with its length in two bytes in front. */
  text(): string {
    const size = this.uint16();
    const at = this.#advance(size);
    return this.#control.toString('utf8', at, at + size);
  }

  #advance(sizeBytes: number): number {
    const at = this.#at;
    if (this.#control.length - at < sizeBytes) throw malformed('it ends early');
    this.#at = at + sizeBytes;
    return at;
  }
}

/** Bytes of a text field. */
export function textSizeBytes(text: string): number {
  return 2 + Buffer.byteLength(text);
}

/** Writes a text field; returns the offset behind it. */
export function writeText(into: Buffer, text: string, at: number): number {
  const size = into.write(text, at + 2);
  into.writeUInt16BE(size, at);
  return at + 2 + size;
}

/** The error for bytes that are no frame of this protocol. */
export function malformed(what: string): MqError {
  return new MqError('BAD_REQUEST', `not a raft frame: ${what}`);
}
