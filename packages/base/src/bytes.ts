import { crc32 as zlibCrc32 } from 'node:zlib';
import { AssertionFailure } from './assert.js';

const TWO_32 = 0x1_0000_0000;

/** CRC-32 (IEEE) of `bytes`, as an unsigned 32-bit number; `seed` continues an earlier sum. */
export function crc32(bytes: Buffer, seed = 0): number {
  return zlibCrc32(bytes, seed);
}

/**
 * Reads a signed big-endian 64-bit integer as a number.
 * @throws AssertionFailure when the value does not fit a double exactly
 */
export function readInt64(buffer: Buffer, at: number): number {
  const value = buffer.readInt32BE(at) * TWO_32 + buffer.readUInt32BE(at + 4);
  if (!Number.isSafeInteger(value))
    throw new AssertionFailure(`64-bit value at ${at} exceeds 2^53`);
  return value;
}

/** Writes a safe integer as a signed big-endian 64-bit value; returns the offset behind it. */
export function writeInt64(buffer: Buffer, value: number, at: number): number {
  const high = Math.floor(value / TWO_32);
  writeInt32(buffer, high, at);
  return writeInt32(buffer, value - high * TWO_32, at + 4);
}

/**
 * Writes the lower 32 bits of a safe integer, big-endian; returns the offset behind them. The bytes have to lie inside the
 * buffer: unlike the methods of Buffer, which check much more, it looks at the last one only.
 */
export function writeInt32(buffer: Buffer, value: number, at: number): number {
  if (at + 4 > buffer.length) throw new AssertionFailure(`no room for 4 bytes at ${at}`);
  buffer[at] = value >>> 24;
  buffer[at + 1] = value >>> 16;
  buffer[at + 2] = value >>> 8;
  buffer[at + 3] = value;
  return at + 4;
}

/** Bytes that {@link writeVarint} needs for `value` (0 .. 2^53-1). */
export function varintSizeBytes(value: number): number {
  let size = 1;
  while (value >= 0x80) {
    value = Math.floor(value / 0x80);
    size++;
  }
  return size;
}

/** Writes a non-negative safe integer as a protobuf varint; returns the offset behind it. */
export function writeVarint(buffer: Buffer, value: number, at: number): number {
  while (value >= 0x80) {
    buffer[at++] = (value % 0x80) | 0x80;
    value = Math.floor(value / 0x80);
  }
  buffer[at++] = value;
  return at;
}
