import { contentLengthOf, fieldKind, type HeaderField } from './header-field.js';
import { isGrpcType, parseTimeoutMs } from './grpc-text.js';
import { encodingOf, type MessageEncoding } from './message-encoding.js';

/** What a request is, by its header fields. */
export type RequestVerdict =
  | 'grpc'
  /** HTTP/2 does not allow this: the stream is reset. */
  | 'malformed'
  /** HTTP, and not gRPC. */
  | 'method'
  | 'content-type'
  /** gRPC that asks for what cannot be. */
  | 'timeout'
  | 'encoding';

/** What the last `readRequestHead` found; one object for all requests, read it at once. */
export const requestHead = {
  path: '',
  /** Infinity = none. */
  timeoutMs: Infinity,
  encoding: null as MessageEncoding | null,
  /** -1 = not said. */
  contentLength: -1,
};

const METHOD_SEEN = 1;
const SCHEME_SEEN = 2;
const PATH_SEEN = 4;
const AUTHORITY_SEEN = 8;
const PSEUDO_NEEDED = METHOD_SEEN | SCHEME_SEEN | PATH_SEEN;

/** Checks the header fields of a request against RFC 9113, 8.2 and 8.3, and gRPC's mapping. */
export function readRequestHead(fields: readonly HeaderField[]): RequestVerdict {
  let seen = 0;
  let regular = false;
  let isPost = false;
  let isConnect = false;
  let contentType = '';
  let timeoutMs = Infinity;
  let encoding: MessageEncoding | null | undefined = null;
  requestHead.path = '';
  requestHead.contentLength = -1;
  for (let i = 0; i < fields.length; i++) {
    const { kind, value } = fields[i]!;
    let pseudo = 0;
    switch (kind) {
      case fieldKind.METHOD:
        pseudo = METHOD_SEEN;
        isPost = value === 'POST';
        isConnect = value === 'CONNECT';
        break;
      case fieldKind.SCHEME:
        pseudo = SCHEME_SEEN;
        break;
      case fieldKind.PATH:
        pseudo = PATH_SEEN;
        requestHead.path = value;
        break;
      case fieldKind.AUTHORITY:
        pseudo = AUTHORITY_SEEN;
        break;
      case fieldKind.STATUS:
      case fieldKind.FORBIDDEN:
        return 'malformed';
      case fieldKind.TE:
        if (value !== 'trailers') return 'malformed';
        break;
      case fieldKind.CONTENT_TYPE:
        contentType = value;
        break;
      case fieldKind.CONTENT_LENGTH:
        requestHead.contentLength = contentLengthOf(value);
        if (requestHead.contentLength < 0) return 'malformed';
        break;
      case fieldKind.GRPC_TIMEOUT:
        timeoutMs = parseTimeoutMs(value);
        break;
      case fieldKind.GRPC_ENCODING:
        encoding = encodingOf(value);
        break;
      default:
        break;
    }
    if (pseudo === 0) regular = true;
    else if (regular || (seen & pseudo) !== 0) return 'malformed';
    else seen |= pseudo;
  }
  if (isConnect) return 'method';
  if ((seen & PSEUDO_NEEDED) !== PSEUDO_NEEDED || requestHead.path === '') return 'malformed';
  if (!isPost) return 'method';
  if (!isGrpcType(contentType)) return 'content-type';
  if (Number.isNaN(timeoutMs)) return 'timeout';
  if (encoding === undefined) return 'encoding';
  requestHead.timeoutMs = timeoutMs;
  requestHead.encoding = encoding;
  return 'grpc';
}
