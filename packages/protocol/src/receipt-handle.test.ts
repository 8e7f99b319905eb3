import { describe, expect, test } from '@jest/globals';
import { peekReceiptHandle, ReceiptHandles } from './receipt-handle.js';
import { SipHash, sipHash128Key } from './sip-hash.js';

const secret = Buffer.alloc(32, 7);
const handles = new ReceiptHandles(secret, 'broker-a');

describe('receipt handle', () => {
  const text = handles.lease('g', 't', 3, 1234).handle(77, 2);

  test('comes back', () => {
    const said = { queueId: 3, queueOffset: 77, leaseId: 1234, attempt: 2 };
    expect(handles.parse(text, 'g', 't')).toEqual(said);
    expect(handles.parse(text, 'g', 't')).toEqual(said);
    expect(peekReceiptHandle(text)).toEqual({ ...said, brokerGroup: 'broker-a' });
    expect(new ReceiptHandles(secret, 'broker-a').parse(text, 'g', 't')).toEqual(said);
  });

  test('has one text, so that every version reads it', () => {
    expect(text).toMatchInlineSnapshot(`"AQhicm9rZXItYQAAAAMAAAAAAATSAAAAAAAATQAAAt0Fuyrvli9Y"`);
  });

  test('the largest numbers, the longest and the shortest names', () => {
    for (const name of ['', 'a', 'ab', 'abc', 'x'.repeat(255)]) {
      const own = new ReceiptHandles(secret, name);
      const said = {
        queueId: 2 ** 31 - 1,
        queueOffset: Number.MAX_SAFE_INTEGER,
        leaseId: Number.MAX_SAFE_INTEGER,
        attempt: 2 ** 24 - 1,
      };
      const largest = own
        .lease('g', 't', said.queueId, said.leaseId)
        .handle(said.queueOffset, said.attempt);
      expect(own.parse(largest, 'g', 't')).toEqual(said);
      expect(largest).toMatch(/^[A-Za-z0-9_-]+$/);
    }
  });

  test('is good for its own group, topic, broker group and secret only', () => {
    expect(handles.parse(text, 'other', 't')).toBeNull();
    expect(handles.parse(text, 'g', 'other')).toBeNull();
    expect(handles.parse(text, 't', 'g')).toBeNull();
    expect(new ReceiptHandles(secret, 'broker-b').parse(text, 'g', 't')).toBeNull();
    expect(new ReceiptHandles(Buffer.alloc(32, 8), 'broker-a').parse(text, 'g', 't')).toBeNull();
  });

  test('is not taken for another group or topic after it was good for its own', () => {
    const own = handles.parse(text, 'g', 't');
    expect(own).not.toBeNull();
    expect(handles.parse(text, 'other', 't')).toBeNull();
    expect(handles.parse(text, 'g', 't')).toEqual(own);
    expect(handles.parse(text, 'g', 'other')).toBeNull();
    const other = handles.lease('g', 't', 1, 99).handle(5, 1);
    expect(handles.parse(other, 'g', 't')).toMatchObject({ queueId: 1, leaseId: 99 });
    expect(handles.parse(text, 'g', 't')).toEqual(own);
  });

  test('with any bit changed is no handle', () => {
    const bytes = Buffer.from(text, 'base64url');
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const forged = Buffer.from(bytes);
      forged[bit >> 3]! ^= 1 << (bit & 7);
      expect(handles.parse(forged.toString('base64url'), 'g', 't')).toBeNull();
    }
  });

  test.each(['', 'x', 'AAAA', 'A'.repeat(52), ' ', '%', 'ü'.repeat(4), 'A'.repeat(1 << 20)])(
    'garbage %#',
    (garbage) => {
      expect(handles.parse(garbage, 'g', 't')).toBeNull();
      expect(peekReceiptHandle(garbage)).toBeNull();
    },
  );

  test('in another spelling is no handle', () => {
    for (const other of [
      `${text}=`,
      ` ${text}`,
      `${text}\n`,
      `${text}AAAA`,
      text.slice(4),
      text.slice(0, -4),
      text.replace(/.$/, '+'),
    ]) {
      expect(handles.parse(other, 'g', 't')).toBeNull();
    }
  });

  test('keys of more leases than are remembered still work', () => {
    const texts = Array.from({ length: 3000 }, (_, i) =>
      handles.lease('g', 't', 0, i).handle(i, 1),
    );
    for (const [i, one] of texts.entries())
      expect(handles.parse(one, 'g', 't')).toMatchObject({ leaseId: i, queueOffset: i });
    expect(handles.parse(texts[0]!, 'g', 't')).toMatchObject({ leaseId: 0 });
  });

  test('asserts what it cannot write', () => {
    const lease = handles.lease('g', 't', 0, 0);
    expect(() => lease.handle(-1, 1)).toThrow(/not negative/);
    expect(() => lease.handle(2 ** 53, 1)).toThrow(/safe integer/);
    expect(() => lease.handle(0, 0)).toThrow(/attempt/);
    expect(() => lease.handle(0, 2 ** 24)).toThrow(/attempt/);
    expect(() => handles.lease('g', 't', -1, 0)).toThrow(/queue id/);
    expect(() => handles.lease('g', 't', 0, -1)).toThrow(/lease id/);
    expect(() => new ReceiptHandles(Buffer.alloc(31), 'a')).toThrow(/32 bytes/);
    expect(() => new ReceiptHandles(secret, 'x'.repeat(256))).toThrow(/255 bytes/);
  });
});

describe('SipHash-2-4', () => {
  test('gives the value that its authors publish for 16 bytes', () => {
    const sip = new SipHash(sipHash128Key(Buffer.from(Array.from({ length: 16 }, (_, i) => i))));
    for (let again = 0; again < 2; again++) {
      sip.hash(0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c);
      expect([sip.high, sip.low]).toEqual([0x3f2acc7f, 0x57c29bdb]);
    }
  });
});
