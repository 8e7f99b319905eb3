import { expect, test } from '@jest/globals';
import { decodeOffsetMessageId, encodeOffsetMessageId } from './offset-message-id.js';
import { parseStoredHost } from './stored-host.js';

test('an offset message id is the store host and the position', () => {
  const id = encodeOffsetMessageId(parseStoredHost('192.168.1.2:10911'), 0x12345);
  expect(id).toBe('C0A8010200002A9F0000000000012345');
  expect(decodeOffsetMessageId(id.toLowerCase())).toEqual({
    storeHost: '192.168.1.2:10911',
    position: 0x12345,
  });
  const six = encodeOffsetMessageId(parseStoredHost('[::1]:8081'), 2 ** 40);
  expect(six).toHaveLength(56);
  expect(decodeOffsetMessageId(six)).toEqual({
    storeHost: '[0:0:0:0:0:0:0:1]:8081',
    position: 2 ** 40,
  });
});

test.each(['', 'xyz', 'C0A8010200002A9F00000000000123', '01'.repeat(17), 'F'.repeat(32)])(
  '"%s" is none',
  (text) => {
    expect(decodeOffsetMessageId(text)).toBeNull();
  },
);
