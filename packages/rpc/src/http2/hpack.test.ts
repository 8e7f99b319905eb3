import { describe, expect, test } from '@jest/globals';
import { createPrng } from '@raftmq/base';
import { HpackDecoder } from './hpack-decoder.js';
import { indexedField, literalField } from './hpack-encoder.js';
import { decodeHuffman } from './huffman.js';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

function decode(decoder: HpackDecoder, block: Buffer): string[] | null {
  const fields = decoder.decode(block, 0, block.length, 16_384);
  return fields?.map(({ name, value }) => `${name}: ${value}`) ?? null;
}

/** Appendix C of RFC 7541: blocks in order on one connection, what they mean, and the size of the table after each. */
const FIRST_REQUEST = [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'];
const requests = [
  FIRST_REQUEST,
  [...FIRST_REQUEST, 'cache-control: no-cache'],
  [
    ':method: GET',
    ':scheme: https',
    ':path: /index.html',
    ':authority: www.example.com',
    'custom-key: custom-value',
  ],
];
const responses = [
  [
    ':status: 302',
    'cache-control: private',
    'date: Mon, 21 Oct 2013 20:13:21 GMT',
    'location: https://www.example.com',
  ],
  [
    ':status: 307',
    'cache-control: private',
    'date: Mon, 21 Oct 2013 20:13:21 GMT',
    'location: https://www.example.com',
  ],
  [
    ':status: 200',
    'cache-control: private',
    'date: Mon, 21 Oct 2013 20:13:22 GMT',
    'location: https://www.example.com',
    'content-encoding: gzip',
    'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
  ],
];

test.each([
  {
    appendix: 'C.3, requests as they are',
    tableBytesMax: 4096,
    blocks: [
      '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
      '8286 84be 5808 6e6f 2d63 6163 6865',
      '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
    ],
    meanings: requests,
    tableBytes: [57, 110, 164],
  },
  {
    appendix: 'C.4, requests with Huffman codes',
    tableBytesMax: 4096,
    blocks: [
      '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
      '8286 84be 5886 a8eb 1064 9cbf',
      '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
    ],
    meanings: requests,
    tableBytes: [57, 110, 164],
  },
  {
    appendix: 'C.5, responses that push one another out of the table',
    tableBytesMax: 256,
    blocks: [
      '4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a' +
        '3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
      '4803 3330 37c1 c0bf',
      '88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04' +
        '677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49' +
        '553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31',
    ],
    meanings: responses,
    tableBytes: [222, 222, 215],
  },
  {
    appendix: 'C.6, the same with Huffman codes',
    tableBytesMax: 256,
    blocks: [
      '4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e' +
        '919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3',
      '4883 640e ffc1 c0bf',
      '88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7' +
        '821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed' +
        '4ee5 b106 3d50 07',
    ],
    meanings: responses,
    tableBytes: [222, 222, 215],
  },
])('$appendix', ({ tableBytesMax, blocks, meanings, tableBytes }) => {
  const decoder = new HpackDecoder(tableBytesMax);
  blocks.forEach((block, i) => {
    expect(decode(decoder, hex(block))).toEqual(meanings[i]);
    expect(decoder.tableBytes).toBe(tableBytes[i]);
  });
});

test('fields that the peer must not keep are read and not kept', () => {
  const decoder = new HpackDecoder(4096);
  // C.2.2 and C.2.3: without indexing, and never indexed.
  expect(decode(decoder, hex('040c 2f73 616d 706c 652f 7061 7468'))).toEqual([
    ':path: /sample/path',
  ]);
  expect(decode(decoder, hex('1008 7061 7373 776f 7264 0673 6563 7265 74'))).toEqual([
    'password: secret',
  ]);
  expect(decoder.tableBytes).toBe(0);
});

test('what the encoder writes is what the decoder reads, at all lengths of a number', () => {
  const decoder = new HpackDecoder(4096);
  for (const length of [0, 1, 14, 15, 126, 127, 128, 254, 255, 256, 8_000]) {
    const value = 'v'.repeat(length);
    const block = Buffer.concat([
      indexedField(8),
      literalField(31, value),
      literalField('x', value),
    ]);
    expect(decode(decoder, block)).toEqual([
      ':status: 200',
      `content-type: ${value}`,
      `x: ${value}`,
    ]);
  }
});

describe('the table', () => {
  const kept = (name: string, value: string): Buffer => {
    const literal = literalField(name, value);
    literal[0] = 0x40;
    return literal;
  };

  test('shrinks and grows again as the peer says, within our limit', () => {
    const decoder = new HpackDecoder(4096);
    decode(decoder, kept('a', 'x'.repeat(100)));
    decode(decoder, kept('b', 'y'.repeat(100)));
    expect(decoder.tableBytes).toBe(2 * 133);
    // To 140 bytes, which leaves the newer entry; then back to 4096.
    decode(decoder, hex('3f6d'));
    expect(decoder.tableBytes).toBe(133);
    expect(decode(decoder, Buffer.concat([hex('3fe11f'), hex('be')]))).toEqual([
      `b: ${'y'.repeat(100)}`,
    ]);
    expect(() => decode(decoder, hex('3fe21f'))).toThrow('larger than we allow');
  });

  test('is emptied by an entry that does not fit', () => {
    const decoder = new HpackDecoder(256);
    decode(decoder, kept('a', 'x'));
    decode(decoder, kept('b', 'x'.repeat(300)));
    expect(decoder.tableBytes).toBe(0);
  });

  test('stays in step with the sender when a list is too large to be taken', () => {
    const decoder = new HpackDecoder(4096);
    const block = Buffer.concat([kept('a', 'x'.repeat(200)), kept('b', 'kept')]);
    expect(decoder.decode(block, 0, block.length, 100)).toBeNull();
    expect(decode(decoder, hex('be'))).toEqual(['b: kept']);
  });
});

test.each([
  ['index 0', '80'],
  ['an index behind the table', 'be'],
  ['a name behind the table', '7f00'],
  ['a number without end', 'ffffffffffff'],
  ['a number that ends early', 'ff'],
  ['a string behind the block', '00 0561'],
  ['a value that is missing', '0001 61'],
  ['a table size behind a field', '82 20'],
  ['padding of zeros', '0001 6181 00'],
  ['padding of eight bits', '0001 6182 1fff'],
  ['EOS', '0001 6184 ffff fffc'],
])('%s is an error', (_what, block) => {
  expect(() => decode(new HpackDecoder(4096), hex(block))).toThrow(
    expect.objectContaining({ code: 'COMPRESSION_ERROR' }),
  );
});

test('rubbish is an error or fields, never anything else', () => {
  const prng = createPrng(20_250);
  for (let round = 0; round < 20_000; round++) {
    const decoder = new HpackDecoder(256);
    const block = Buffer.from(Array.from({ length: 1 + (round % 40) }, () => prng.integer(0, 255)));
    try {
      decode(decoder, block);
    } catch (error) {
      if ((error as { code?: string }).code !== 'COMPRESSION_ERROR') throw error;
    }
    if (decoder.tableBytes > 256) throw new Error('a table over its limit');
  }
});

test('no Huffman input decodes to more than 8/5 of its bytes', () => {
  // The shortest code, five bits of zero, over and over: the target of the decoder is sized by it.
  const target = Buffer.alloc(16);
  expect(decodeHuffman(Buffer.from('0000000000', 'hex'), 0, 5, target)).toBe(8);
});
