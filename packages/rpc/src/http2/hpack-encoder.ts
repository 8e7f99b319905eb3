/* Header blocks without a table: the same bytes on every connection, so constant ones are made once. */

/** Index of names in the static table that we write. */
export const staticName = { STATUS: 8, CONTENT_TYPE: 31 } as const;

/** An indexed field of the static table. */
export function indexedField(index: number): Buffer {
  return Buffer.from([0x80 | index]);
}

/**
 * A field that the peer is not to keep. Bytes only: strings of up to 255 characters are never worth a Huffman code here.
 * @param name a static index, or the name in lower-case letters
 * @param value characters up to 0xff
 */
export function literalField(name: number | string, value: string): Buffer {
  const start = typeof name === 'number' ? integer(0, 4, name) : [0, ...string(name)];
  return Buffer.from([...start, ...string(value)]);
}

function string(text: string): number[] {
  return [...integer(0, 7, text.length), ...Buffer.from(text, 'latin1')];
}

/** A number with its first bits behind `head` in the first byte (RFC 7541, 5.1). */
function integer(head: number, prefixBits: number, value: number): number[] {
  const max = 2 ** prefixBits - 1;
  if (value < max) return [head | value];
  const bytes = [head | max];
  let rest = value - max;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push(0x80 | (rest % 0x80));
  bytes.push(rest);
  return bytes;
}
