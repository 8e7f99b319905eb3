import { beforeEach, describe, expect, test } from '@jest/globals';
import { crc32 } from '@raftmq/base';
import {
  ENTRY_HEADER_SIZE_BYTES,
  entryEnd,
  entryType,
  readEntry,
  readEntryHeader,
  sealEntry,
  type Entry,
} from './entry.js';

const meta = {
  index: 2 ** 40 + 1,
  term: 9,
  position: 2 ** 45 + 3,
  type: entryType.records,
  storeTimestampMs: 1_700_000_000_123,
  recordCount: 3,
} as const;
let entry: Entry;

beforeEach(() => {
  const frame = Buffer.alloc(ENTRY_HEADER_SIZE_BYTES + 100);
  frame.fill(0xab, ENTRY_HEADER_SIZE_BYTES);
  entry = sealEntry(frame, meta);
});

test('is read back as it was sealed, also from the middle of other bytes', () => {
  expect(readEntry(entry.frame)).toEqual(entry);
  const more = Buffer.concat([Buffer.from('junk'), entry.frame, Buffer.from('behind')]);
  expect(readEntry(more.subarray(4))).toEqual(entry);
  expect(readEntryHeader(more, 4)).toMatchObject({ ...meta, sizeBytes: 156 });
  expect(entryEnd(entry)).toBe(meta.position + 156);
});

test('the layout is fixed', () => {
  const { frame } = entry;
  expect(frame.subarray(0, 8).toString('hex')).toBe('524d514501020000');
  expect(frame.readUInt32BE(8)).toBe(156);
  expect(frame.readBigInt64BE(16)).toBe(BigInt(meta.index));
  expect(frame.readBigInt64BE(24)).toBe(9n);
  expect(frame.readBigInt64BE(32)).toBe(BigInt(meta.position));
  expect(frame.readBigInt64BE(40)).toBe(1_700_000_000_123n);
  expect(frame.readUInt32BE(48)).toBe(3);
});

describe('damage', () => {
  test('any single flipped bit is noticed', () => {
    for (let bit = 0; bit < entry.frame.length * 8; bit++) {
      const damaged = Buffer.from(entry.frame);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      expect(readEntry(damaged)).toBeNull();
    }
  });

  test('every torn length is noticed', () => {
    for (let length = 0; length < entry.frame.length; length++) {
      expect(readEntry(entry.frame.subarray(0, length))).toBeNull();
    }
  });

  test('an intact frame of a newer version is not skipped', () => {
    for (const at of [4, 5]) {
      const newer = Buffer.from(entry.frame);
      newer[at] = 7;
      newer.writeUInt32BE(crc32(newer.subarray(0, 52)), 52);
      expect(() => readEntry(newer)).toThrow(
        expect.objectContaining({ code: 'VERSION_UNSUPPORTED' }),
      );
    }
  });
});

test('a frame without room for its header is impossible', () => {
  expect(() => sealEntry(Buffer.alloc(55), meta)).toThrow('room for its header');
});
