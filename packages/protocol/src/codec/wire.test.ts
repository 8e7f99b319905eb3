import { describe, expect, test } from '@jest/globals';
import { createPrng } from '@raftmq/base';
import { WireReader, WireWriter } from './wire.js';

function hex(text: string): WireReader {
  return new WireReader(Buffer.from(text.replaceAll(' ', ''), 'hex'));
}

/** A varint the slow way. */
function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  do {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(bytes);
}

const malformed = expect.objectContaining({ code: 'BAD_REQUEST' });

describe('numbers', () => {
  const edges = [
    0,
    1,
    127,
    128,
    2 ** 14,
    2 ** 28 - 1,
    2 ** 28,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 35,
    2 ** 49,
    2 ** 53 - 1,
  ];
  test.each([...edges, ...edges.map((value) => -value)])('%d', (value) => {
    expect(new WireReader(varint(BigInt(value))).int64()).toBe(value === 0 ? 0 : value);
    expect(new WireReader(varint(BigInt(value))).int32()).toBe(
      Number(BigInt.asIntN(32, BigInt(value))),
    );
    const writer = new WireWriter(1);
    writer.presentInt(1, value);
    expect(writer.finish()).toEqual(Buffer.concat([Buffer.from([8]), varint(BigInt(value))]));
  });

  test('random ones', () => {
    const random = createPrng(7);
    for (let i = 0; i < 2000; i++) {
      const value = random.integer(
        -(2 ** random.integer(0, 53)) + 1,
        2 ** random.integer(1, 53) - 1,
      );
      expect(new WireReader(varint(BigInt(value))).int64()).toBe(value);
    }
  });

  test('beyond 2^53 they are refused, not rounded', () => {
    for (const value of [2n ** 53n, -(2n ** 53n), 2n ** 63n - 1n, -(2n ** 63n)]) {
      expect(() => new WireReader(varint(value)).int64()).toThrow(malformed);
    }
  });

  test('padded ones are legal, overlong ones are not', () => {
    expect(hex('8100').int32()).toBe(1);
    expect(() => hex('80808080808080808080 00').int32()).toThrow(/more than ten bytes/);
    expect(() => hex('8080').int32()).toThrow(/cut off/);
    expect(hex('00').bool()).toBe(false);
    expect(hex('80808080808080808001').bool()).toBe(true);
  });
});

describe('fields', () => {
  test('unknown ones are passed over, whatever their kind', () => {
    const reader = hex('0801 11 0102030405060708 1a02 ffff 25 01020304 f8ffffff0f 05 2801');
    const tags: number[] = [];
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      tags.push(tag);
      reader.skip(tag);
    }
    expect(tags).toEqual([0x08, 0x11, 0x1a, 0x25, 0xfffffff8, 0x28]);
  });

  test.each([
    ['field number 0', '00'],
    ['field number 0, padded', '8000'],
    ['field number beyond 29 bits', '88808080100' + '0'],
    ['start of a group', '0b'],
    ['end of a group', '0c'],
    ['wire type 6', '0e'],
    ['wire type 7', '0f'],
    ['a length beyond the end', '0a05 01'],
    ['a length of 2^40', '0a808080808020'],
    ['4 bytes that are 3', '0d 010203'],
    ['8 bytes that are 7', '09 01020304050607'],
  ])('%s is malformed', (_what, text) => {
    const reader = hex(text);
    expect(() => reader.skip(reader.tag())).toThrow(malformed);
  });

  test('a nested message ends where it says', () => {
    const reader = hex('0a02 0805 1003');
    expect(reader.tag()).toBe(10);
    const outer = reader.enter();
    expect(reader.tag()).toBe(8);
    expect(reader.int32()).toBe(5);
    expect(reader.tag()).toBe(0);
    expect(reader.done).toBe(true);
    reader.leave(outer);
    expect(reader.tag()).toBe(16);
    expect(reader.int32()).toBe(3);
    expect(reader.tag()).toBe(0);
  });

  test('a field inside cannot reach over the end of its message', () => {
    const reader = hex('0a02 0a03 616263');
    reader.tag();
    reader.enter();
    expect(reader.tag()).toBe(10);
    expect(() => reader.bytes()).toThrow(/longer than its message/);
  });
});

describe('texts', () => {
  test('a replacement character that stands there by right is kept', () => {
    const text = 'a\ufffdb';
    const bytes = Buffer.from(text);
    expect(new WireReader(Buffer.concat([Buffer.from([bytes.length]), bytes])).text()).toBe(text);
  });

  test.each(['01ff', '02c080', '03eda080', '01c3', '04f4908080'])('%s is no UTF-8', (text) => {
    expect(() => hex(text).text('ILLEGAL_TOPIC')).toThrow(
      expect.objectContaining({ code: 'ILLEGAL_TOPIC' }),
    );
  });

  test('of every length and alphabet are written as Node writes them', () => {
    for (const unit of ['a', 'ü', '标', '😀', 'aü']) {
      for (let count = 0; count < 60; count++) {
        const text = unit.repeat(count);
        const writer = new WireWriter(4);
        writer.presentText(1, text);
        const bytes = writer.finish();
        expect(bytes).toEqual(
          Buffer.concat([
            Buffer.from([10]),
            varint(BigInt(Buffer.byteLength(text))),
            Buffer.from(text),
          ]),
        );
      }
    }
  });
});

describe('times', () => {
  test.each([0, 1, 999, 1000, 1_700_000_000_123, -1, -1500])('%d ms', (timeMs) => {
    const writer = new WireWriter(1);
    writer.timeMs(1, timeMs);
    const reader = new WireReader(writer.finish());
    expect(reader.tag()).toBe(10);
    expect(reader.timeMs()).toBe(timeMs);
  });
});

test('defaults are not written', () => {
  const writer = new WireWriter(8);
  writer.int(1, 0);
  writer.text(2, '');
  writer.bool(3, false);
  expect(writer.finish()).toHaveLength(0);
  const present = new WireWriter(1);
  present.bool(3, true);
  present.message(2, present.size);
  expect(present.finish().toString('hex')).toBe('12001801');
});
