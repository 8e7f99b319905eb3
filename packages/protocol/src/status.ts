import { isMqError } from '@raftmq/base';
import { type ClientLanguage } from './model/language.js';
import { statusCode, statusCodeName } from './codes.js';
import { type WireReader, WireWriter } from './codec/wire.js';

/** A `Status` of the protocol. `code` may be a number that this version does not know. */
export interface Status {
  readonly code: number;
  readonly message: string;
}

/** Everything went well. */
export const OK_STATUS: Status = { code: statusCode.OK, message: 'OK' };

/**
 * The Status that a client sees for a thrown value. Expected failures carry their code and text; anything else is
 * INTERNAL_SERVER_ERROR with a text that tells nothing of our insides. Logging and counting it is the caller's part.
 *
 * @param language from {@link parseClientLanguage}: the status has a code that clients of this kind understand
 */
export function statusOf(error: unknown, language: ClientLanguage): Status {
  if (isMqError(error)) {
    const { status: code, message } = error;
    return { code: language === 'RUST' ? (rustSubstitutes.get(code) ?? code) : code, message };
  }
  return {
    code: statusCode.INTERNAL_SERVER_ERROR,
    message: 'the broker failed in an unexpected way; its log says more',
  };
}

/** The Status of a code by number, its name as text. */
export function statusWithName(code: number): Status {
  return { code, message: statusCodeName(code) ?? String(code) };
}

/** Codes that the official Rust client does not know: it panics on them. The nearest ones that it knows. */
const rustSubstitutes: ReadonlyMap<number, number> = new Map([
  [statusCode.ILLEGAL_OFFSET, statusCode.BAD_REQUEST],
  [statusCode.ILLEGAL_LITE_TOPIC, statusCode.BAD_REQUEST],
  [statusCode.INVALID_CLIENT_PROPERTIES, statusCode.BAD_REQUEST],
  [statusCode.OFFSET_NOT_FOUND, statusCode.NOT_FOUND],
  [statusCode.MESSAGE_BODY_EMPTY, statusCode.BAD_REQUEST],
  [statusCode.LITE_TOPIC_QUOTA_EXCEEDED, statusCode.TOO_MANY_REQUESTS],
  [statusCode.LITE_SUBSCRIPTION_QUOTA_EXCEEDED, statusCode.TOO_MANY_REQUESTS],
]);

/** Writes a Status { 1 code, 2 message } as field `field`. */
export function writeStatus(writer: WireWriter, field: number, status: Status): void {
  if (status === OK_STATUS) {
    writer.bytes(field, okStatusBytes);
    return;
  }
  const mark = writer.size;
  writer.text(2, status.message);
  writer.int(1, status.code);
  writer.message(field, mark);
}

/** Reads a Status. */
export function readStatus(reader: WireReader): Status {
  const outer = reader.enter();
  let code = 0;
  let message = '';
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 8) code = reader.int32();
    else if (tag === 18) message = reader.text();
    else reader.skip(tag);
  }
  reader.leave(outer);
  return code === statusCode.OK && message === OK_STATUS.message ? OK_STATUS : { code, message };
}

/**
 * A response that has nothing but its status. `status` is field 1 of every response of the protocol, so the bytes are
 * right for all of them.
 *
 * @returns a Buffer of its own; the one for {@link OK_STATUS} is shared and must not be written to
 */
export function encodeStatusResponse(status: Status): Buffer {
  return status === OK_STATUS ? okResponseBytes : encodeStatus(status);
}

function encodeStatus(status: Status): Buffer {
  const writer = new WireWriter(status.message.length + 16);
  const mark = writer.size;
  writer.text(2, status.message);
  writer.int(1, status.code);
  writer.message(1, mark);
  return writer.finish();
}

const okResponseBytes = encodeStatus(OK_STATUS);
const okStatusBytes = okResponseBytes.subarray(2);
