import { describe, expect, test } from '@jest/globals';
import { decodeClusterFrame } from './readiness.js';

/** A gRPC frame around a message. */
function frame(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** A length-delimited field. */
const field = (number: number, content: Buffer | string): Buffer =>
  Buffer.concat([Buffer.from([number * 8 + 2, content.length]), Buffer.from(content)]);

const varint = (number: number, ...bytes: number[]): Buffer => Buffer.from([number * 8, ...bytes]);

const MINUS_ONE = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];

describe('decodeClusterFrame', () => {
  test('reads groups, leaders and replicas', () => {
    const known = Buffer.concat([
      field(1, 'cluster'),
      field(2, 'broker-a'),
      varint(3, 7),
      varint(4, 2),
      field(5, Buffer.concat([varint(1, 1), field(2, 'h:1')])),
      field(5, field(2, 'h:0')),
    ]);
    const leaderless = Buffer.concat([field(2, 'broker-b'), varint(4, ...MINUS_ONE)]);
    expect(
      decodeClusterFrame(frame(Buffer.concat([field(1, known), field(1, leaderless)]))),
    ).toEqual([
      { group: 'broker-a', leaderId: 2, nodeIds: [1, 0] },
      { group: 'broker-b', leaderId: -1, nodeIds: [] },
    ]);
    expect(decodeClusterFrame(frame(Buffer.alloc(0)))).toEqual([]);
  });

  test('anything else is no answer', () => {
    const whole = frame(field(1, field(2, 'broker-a')));
    for (let end = 0; end < whole.length; end++) {
      expect(decodeClusterFrame(whole.subarray(0, end))).toBeNull();
    }
    expect(decodeClusterFrame(frame(Buffer.from([0x0a, 0x7f])))).toBeNull();
    expect(decodeClusterFrame(frame(Buffer.from([0x09, 0x01])))).toBeNull();
    expect(decodeClusterFrame(frame(Buffer.alloc(12, 0xff)))).toBeNull();
  });
});
