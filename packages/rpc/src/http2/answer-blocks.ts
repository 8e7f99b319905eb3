import { ACCEPTED_ENCODINGS } from './message-encoding.js';
import { encodeGrpcMessage } from './grpc-text.js';
import { indexedField, literalField, staticName } from './hpack-encoder.js';

/* Header blocks of answers. None of them uses the peer's table, so they are the same on every connection. */

const STATUS_200 = indexedField(staticName.STATUS);
const GRPC_CONTENT = literalField(staticName.CONTENT_TYPE, 'application/grpc');

/** In front of messages. */
export const ANSWER_START = Buffer.concat([STATUS_200, GRPC_CONTENT]);
/** Behind messages, when all went well. */
export const ANSWER_OK = literalField('grpc-status', '0');

/** Behind messages, when the call failed. */
export function failedTrailers(code: number, details: string): Buffer {
  const status = literalField('grpc-status', String(code));
  if (details === '') return status;
  return Buffer.concat([status, literalField('grpc-message', encodeGrpcMessage(details))]);
}

/** The whole answer of a call that failed before its first message. */
export function failedAnswer(code: number, details: string): Buffer {
  return Buffer.concat([ANSWER_START, failedTrailers(code, details)]);
}

/** The whole answer to a request that is packed in a way that we do not know. */
export function unknownEncodingAnswer(code: number, details: string): Buffer {
  return Buffer.concat([
    failedAnswer(code, details),
    literalField('grpc-accept-encoding', ACCEPTED_ENCODINGS),
  ]);
}

/** The whole answer to a request that is not gRPC. */
export const NOT_POST = Buffer.concat([
  literalField(staticName.STATUS, '405'),
  literalField('allow', 'POST'),
]);
export const NOT_GRPC = literalField(staticName.STATUS, '415');
