/** What a field is to us, so that a request is checked by number and its names are looked at once. */
export const fieldKind = {
  /** Belongs to the caller and the handler. */
  TEXT: 0,
  /** Readable, not forwarded: it speaks about this hop. */
  HOP: 1,
  /** A `-bin` header of gRPC: base64, for nobody here. */
  BINARY: 2,
  METHOD: 3,
  SCHEME: 4,
  AUTHORITY: 5,
  PATH: 6,
  STATUS: 7,
  CONTENT_TYPE: 8,
  CONTENT_LENGTH: 9,
  TE: 10,
  GRPC_TIMEOUT: 11,
  GRPC_ENCODING: 12,
  GRPC_STATUS: 13,
  GRPC_MESSAGE: 14,
  /** HTTP/2 does not allow it: a connection header, an unknown pseudo-header, a name or value with wrong bytes. */
  FORBIDDEN: 15,
} as const;

export type FieldKind = (typeof fieldKind)[keyof typeof fieldKind];

const KNOWN = new Map<string, FieldKind>([
  [':method', fieldKind.METHOD],
  [':scheme', fieldKind.SCHEME],
  [':authority', fieldKind.AUTHORITY],
  [':path', fieldKind.PATH],
  [':status', fieldKind.STATUS],
  ['content-type', fieldKind.CONTENT_TYPE],
  ['content-length', fieldKind.CONTENT_LENGTH],
  ['te', fieldKind.TE],
  ['grpc-timeout', fieldKind.GRPC_TIMEOUT],
  ['grpc-encoding', fieldKind.GRPC_ENCODING],
  ['grpc-status', fieldKind.GRPC_STATUS],
  ['grpc-message', fieldKind.GRPC_MESSAGE],
  ['user-agent', fieldKind.HOP],
  ['accept-encoding', fieldKind.HOP],
  ['host', fieldKind.HOP],
  ['connection', fieldKind.FORBIDDEN],
  ['keep-alive', fieldKind.FORBIDDEN],
  ['proxy-connection', fieldKind.FORBIDDEN],
  ['transfer-encoding', fieldKind.FORBIDDEN],
  ['upgrade', fieldKind.FORBIDDEN],
]);

/** Characters of a field name: those of a token (RFC 9110, 5.6.2) but capital letters. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;

/** What a field of this name is. */
export function kindOf(name: string): FieldKind {
  const known = KNOWN.get(name);
  if (known !== undefined) return known;
  if (!NAME.test(name)) return fieldKind.FORBIDDEN;
  if (name.endsWith('-bin')) return fieldKind.BINARY;
  return name.startsWith('grpc-') ? fieldKind.HOP : fieldKind.TEXT;
}

const CONTENT_LENGTH = /^[0-9]{1,15}$/;

/** The number in a `content-length`; -1 = it is none. */
export function contentLengthOf(value: string): number {
  return CONTENT_LENGTH.test(value) ? Number(value) : -1;
}

/** What each entry of a table costs beyond its bytes (RFC 7541, 4.1). */
export const FIELD_OVERHEAD_BYTES = 32;

/** One decoded header field; entries of the dynamic table are shared by all requests that refer to them. */
export interface HeaderField {
  readonly name: string;
  /** Each character is one byte. */
  readonly value: string;
  readonly kind: FieldKind;
  /** As HPACK counts: name, value and the overhead. */
  readonly sizeBytes: number;
}
