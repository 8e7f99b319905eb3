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
  buffer.writeInt32BE(high, at);
  buffer.writeUInt32BE(value - high * TWO_32, at + 4);
  return at + 8;
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
