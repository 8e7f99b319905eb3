import { createServer, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo } from 'node:net';
import { expect, test } from '@jest/globals';
import { createPrng, type Prng } from '@raftmq/base';
import { HpackDecoder } from './hpack-decoder.js';
import { HpackTableEncoder, keepRule, type KeepRule, staticIndex } from './hpack-table-encoder.js';
import { frameFlag, frameType } from './protocol.js';
import { rawFrame, RawPeer } from './testing/raw-peer.js';

const block = Buffer.alloc(64 * 1024);

interface Field {
  readonly name: string;
  readonly value: string;
  readonly rule: KeepRule;
}

function encode(encoder: HpackTableEncoder, fields: readonly Field[]): Buffer {
  encoder.begin();
  for (const { name, value, rule } of fields) encoder.field(name, value, rule);
  return Buffer.from(encoder.block.subarray(0, encoder.sizeBytes));
}

function decode(decoder: HpackDecoder, bytes: Buffer): string[] {
  return decoder.decode(bytes, 0, bytes.length, 1e6)!.map(({ name, value }) => `${name}: ${value}`);
}

const text = ({ name, value }: Field): string => `${name}: ${value}`;
const RULES = [keepRule.ALWAYS, keepRule.REPEATED, keepRule.NEVER];

function someFields(prng: Prng): Field[] {
  return Array.from({ length: prng.integer(0, 12) }, () => ({
    name: prng.pick(['x-a', 'x-b', 'content-type', 'user-agent', 'x'.repeat(prng.integer(1, 150))]),
    value: prng.pick(['', 'a', 'b', 'v'.repeat(prng.integer(0, 400)), String(prng.integer(0, 9))]),
    rule: prng.pick(RULES),
  }));
}

test('what it writes is what the decoder reads, through evictions and new table sizes', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const prng = createPrng(seed);
    const encoder = new HpackTableEncoder(block, 4096);
    const decoder = new HpackDecoder(4096);
    for (let round = 0; round < 60; round++) {
      while (prng.chance(0.3)) encoder.resize(prng.pick([0, 33, 64, 100, 300, 4095, 4096]));
      const fields = someFields(prng);
      expect(decode(decoder, encode(encoder, fields))).toEqual(fields.map(text));
    }
  }
});

test('a table that shrinks and grows again between two blocks is announced as both', () => {
  const encoder = new HpackTableEncoder(block, 4096);
  const kept = { name: 'x-a', value: 'a', rule: keepRule.ALWAYS };
  encode(encoder, [kept]);
  encoder.resize(0);
  encoder.resize(4096);
  const bytes = encode(encoder, [kept]);
  // 0, then 4096, then the field again: it was forgotten at both ends.
  expect(bytes.subarray(0, 4).toString('hex')).toBe('203fe11f');
  expect(bytes[4]).toBe(0x40);
  expect(encode(encoder, [kept]).toString('hex')).toBe('be');
});

test('fields cost one byte when they come again', () => {
  const encoder = new HpackTableEncoder(block, 4096);
  const decoder = new HpackDecoder(4096);
  const repeated = { name: 'x-b', value: 'b', rule: keepRule.REPEATED };
  const sizes = [1, 2, 3].map(() => {
    const bytes = encode(encoder, [repeated]);
    decode(decoder, bytes);
    return [bytes.length, decoder.tableBytes];
  });
  // Told, told and kept, one byte.
  expect(sizes).toEqual([
    [7, 0],
    [7, 36],
    [1, 36],
  ]);
  encoder.begin();
  encoder.staticField(staticIndex(':method', 'POST'));
  expect(block.subarray(0, encoder.sizeBytes).toString('hex')).toBe('83');
  expect(() => staticIndex(':method', 'PUT')).toThrow('not in the static table');
});

test('secrets, and what is different each time, are kept by nobody', () => {
  const encoder = new HpackTableEncoder(block, 4096);
  const decoder = new HpackDecoder(4096);
  for (let i = 0; i < 4; i++) {
    const bytes = encode(encoder, [
      { name: 'authorization', value: 'the secret', rule: keepRule.SECRET },
      { name: 'x-request', value: 'the same', rule: keepRule.NEVER },
      { name: 'x-other', value: String(i), rule: keepRule.REPEATED },
    ]);
    // Never indexed (0001xxxx), by the name's place in the static table; the next one not indexed.
    expect(bytes.subarray(0, 2).toString('hex')).toBe('1f08');
    expect(bytes[2 + 1 + 'the secret'.length]).toBe(0x00);
    decode(decoder, bytes);
    expect(decoder.tableBytes).toBe(0);
  }
});

test('more names than are watched are written, and cost no memory for ever', () => {
  const encoder = new HpackTableEncoder(block, 4096);
  const decoder = new HpackDecoder(4096);
  for (let i = 0; i < 500; i++) {
    const field = { name: `x-${i}`, value: 'v', rule: keepRule.REPEATED };
    expect(decode(decoder, encode(encoder, [field]))).toEqual([text(field)]);
  }
  expect(decoder.tableBytes).toBe(0);
});

test('nghttp2 reads the same', async () => {
  const seen: string[][] = [];
  const failures: Error[] = [];
  const server = createServer();
  server.on('sessionError', (error) => failures.push(error));
  server.on(
    'stream',
    (stream: ServerHttp2Stream, _headers: object, _flags: number, raw: string[]) => {
      const fields: string[] = [];
      for (let i = 8; i < raw.length; i += 2) fields.push(`${raw[i]}: ${raw[i + 1]}`);
      seen.push(fields);
      stream.on('error', () => undefined);
      stream.close();
    },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const peer = await RawPeer.open((server.address() as AddressInfo).port);
  const encoder = new HpackTableEncoder(block, 4096);
  const prng = createPrng(7541);
  const expected: string[][] = [];
  const whole: readonly Field[] = [
    { name: ':method', value: 'POST', rule: keepRule.NEVER },
    { name: ':scheme', value: 'http', rule: keepRule.ALWAYS },
    { name: ':path', value: '/t/Echo', rule: keepRule.ALWAYS },
    { name: ':authority', value: 'localhost', rule: keepRule.ALWAYS },
  ];
  for (let round = 0; round < 300; round++) {
    while (prng.chance(0.2)) encoder.resize(prng.pick([0, 64, 300, 4095, 4096]));
    const fields = someFields(prng).filter(({ name }) => name.startsWith('x'));
    expected.push(fields.map(text));
    const bytes = encode(encoder, [...whole, ...fields]);
    const flags = frameFlag.END_HEADERS | frameFlag.END_STREAM;
    peer.send(rawFrame(frameType.HEADERS, flags, 2 * round + 1, bytes));
    await peer.until('the request', () => seen.length > round || peer.closed);
  }
  peer.socket.destroy();
  await new Promise((resolve) => server.close(resolve));
  expect(failures).toEqual([]);
  expect(seen).toEqual(expected);
});
