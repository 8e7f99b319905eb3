import { rpcStatus } from '../status.js';
import { decodeGrpcMessage, isGrpcType } from './grpc-text.js';
import { contentLengthOf, fieldKind, type HeaderField } from './header-field.js';
import { encodingOf, type MessageEncoding } from './message-encoding.js';

/** What header fields of an answer say; one object for all of them, read it at once. */
export const answerHead = {
  /** Of HTTP; 0 = not said. */
  httpStatus: 0,
  isGrpc: false,
  /** undefined = packed in a way that we do not know. */
  encoding: null as MessageEncoding | null | undefined,
  /** Of gRPC; -1 = not said. */
  status: -1,
  details: '',
  /** -1 = not said. */
  contentLength: -1,
};

const HTTP_STATUS = /^[1-9][0-9]{2}$/;
const STATUS_NUMBER = /^[0-9]{1,9}$/;

/**
 * Reads headers or trailers of an answer into {@link answerHead}.
 * @returns false when HTTP/2 does not allow them (RFC 9113, 8.2 and 8.3)
 */
export function readAnswerHead(fields: readonly HeaderField[], trailers: boolean): boolean {
  answerHead.httpStatus = 0;
  answerHead.isGrpc = false;
  answerHead.encoding = null;
  answerHead.status = -1;
  answerHead.details = '';
  answerHead.contentLength = -1;
  for (let i = 0; i < fields.length; i++) {
    const { kind, value } = fields[i]!;
    switch (kind) {
      case fieldKind.STATUS:
        // The first of all, and the only pseudo-header.
        if (i > 0 || trailers) return false;
        answerHead.httpStatus = Number(value);
        if (!HTTP_STATUS.test(value)) return false;
        break;
      case fieldKind.METHOD:
      case fieldKind.SCHEME:
      case fieldKind.PATH:
      case fieldKind.AUTHORITY:
      case fieldKind.FORBIDDEN:
        return false;
      case fieldKind.CONTENT_TYPE:
        answerHead.isGrpc = isGrpcType(value);
        break;
      case fieldKind.CONTENT_LENGTH:
        answerHead.contentLength = contentLengthOf(value);
        if (answerHead.contentLength < 0) return false;
        break;
      case fieldKind.GRPC_ENCODING:
        answerHead.encoding = encodingOf(value);
        break;
      case fieldKind.GRPC_STATUS:
        answerHead.status = STATUS_NUMBER.test(value) ? Number(value) : rpcStatus.UNKNOWN;
        break;
      case fieldKind.GRPC_MESSAGE:
        answerHead.details = decodeGrpcMessage(value);
        break;
      default:
        break;
    }
  }
  return trailers || answerHead.httpStatus > 0;
}

/** The status of gRPC for an answer of HTTP without one (gRPC's own table). */
export function statusOfHttp(httpStatus: number): number {
  switch (httpStatus) {
    case 400:
      return rpcStatus.INTERNAL;
    case 401:
      return rpcStatus.UNAUTHENTICATED;
    case 403:
      return rpcStatus.PERMISSION_DENIED;
    case 404:
      return rpcStatus.UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
      return rpcStatus.UNAVAILABLE;
    default:
      return rpcStatus.UNKNOWN;
  }
}
