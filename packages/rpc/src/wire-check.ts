/** What a descriptor says about one field; only what this file needs. */
interface FieldShape {
  readonly number: number;
  readonly type: string;
  readonly label: string;
}

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;
const LENGTH_DELIMITED = ['TYPE_STRING', 'TYPE_BYTES', 'TYPE_MESSAGE'];

function wireTypeOf(type: string): number {
  if (LENGTH_DELIMITED.includes(type)) return BYTES;
  if (type === 'TYPE_DOUBLE' || type === 'TYPE_FIXED64' || type === 'TYPE_SFIXED64') return FIXED64;
  if (type === 'TYPE_FLOAT' || type === 'TYPE_FIXED32' || type === 'TYPE_SFIXED32') return FIXED32;
  return VARINT;
}

/** Throws a plain Error when bytes cannot be a message of one type. */
export type WireCheck = (bytes: Buffer) => void;

/**
 * Makes the check of one message type, for the generic codec, which by itself clips fields that end behind the message
 * and reads fields of a wrong wire type as if they were right. Looks at the top level; unknown fields only have to be
 * whole.
 * @param descriptor a DescriptorProto as proto-loader gives it
 */
export function wireCheckOf(descriptor: object): WireCheck {
  const expected = new Map<number, { readonly wireType: number; readonly packable: boolean }>();
  for (const { number, type, label } of (descriptor as { field?: readonly FieldShape[] }).field ??
    []) {
    const wireType = wireTypeOf(type);
    expected.set(number, { wireType, packable: label === 'LABEL_REPEATED' && wireType !== BYTES });
  }
  return (bytes) => {
    let at = 0;
    while (at < bytes.length) {
      const tag = readVarint(bytes, at);
      at = tag.end;
      const field = Math.floor(tag.value / 8);
      const wireType = tag.value % 8;
      const shape = expected.get(field);
      const fits =
        shape === undefined ||
        shape.wireType === wireType ||
        (shape.packable && wireType === BYTES);
      if (field === 0 || !fits) throw new Error(`field ${field} has wire type ${wireType}`);
      at = skip(bytes, at, wireType);
      if (at > bytes.length) throw new Error(`field ${field} ends behind the message`);
    }
  };
}

function skip(bytes: Buffer, at: number, wireType: number): number {
  switch (wireType) {
    case VARINT:
      return readVarint(bytes, at).end;
    case FIXED64:
      return at + 8;
    case BYTES: {
      const size = readVarint(bytes, at);
      return size.end + size.value;
    }
    case FIXED32:
      return at + 4;
    default:
      throw new Error(`wire type ${wireType} is not in use`);
  }
}

function readVarint(bytes: Buffer, at: number): { readonly value: number; readonly end: number } {
  let value = 0;
  let factor = 1;
  for (let size = 0; size < 10; size++) {
    const byte = bytes[at++];
    if (byte === undefined) throw new Error('a number ends early');
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return { value, end: at };
    factor *= 0x80;
  }
  throw new Error('a number of more than 10 bytes');
}
