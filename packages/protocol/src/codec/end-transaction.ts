import { type Resource } from '../model/message.js';
import { NO_RESOURCE, readResource, writeResource } from './shared.js';
import { WireReader, WireWriter } from './wire.js';

/** Numbers of the wire enum TransactionResolution. */
export const transactionResolution = { UNSPECIFIED: 0, COMMIT: 1, ROLLBACK: 2 } as const;

/** Numbers of the wire enum TransactionSource: who asked for the decision. Several SDKs leave it at 0. */
export const transactionSource = { UNSPECIFIED: 0, CLIENT: 1, SERVER_CHECK: 2 } as const;

/** An EndTransactionRequest. */
export interface EndTransactionRequest {
  readonly topic: Resource;
  readonly messageId: string;
  /** What the send answered; equal to the message id. */
  readonly transactionId: string;
  /** A {@link transactionResolution}, or a number that we do not know. */
  readonly resolution: number;
  /** A {@link transactionSource}, or a number that we do not know. */
  readonly source: number;
  readonly traceContext: string;
}

/** @throws MqError BAD_REQUEST on malformed bytes; the field's code for a text that is no UTF-8 */
export function decodeEndTransactionRequest(frame: Buffer): EndTransactionRequest {
  const reader = new WireReader(frame);
  let topic = NO_RESOURCE;
  let messageId = '';
  let transactionId = '';
  let resolution = 0;
  let source = 0;
  let traceContext = '';
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) topic = readResource(reader, 'ILLEGAL_TOPIC');
    else if (tag === 18) messageId = reader.text('ILLEGAL_MESSAGE_ID');
    else if (tag === 26) transactionId = reader.text('INVALID_TRANSACTION_ID');
    else if (tag === 32) resolution = reader.int32();
    else if (tag === 40) source = reader.int32();
    else if (tag === 50) traceContext = reader.text();
    else reader.skip(tag);
  }
  return { topic, messageId, transactionId, resolution, source, traceContext };
}

/** Encodes an EndTransactionRequest. Its response has nothing but a status. */
export function encodeEndTransactionRequest(request: EndTransactionRequest): Buffer {
  const writer = new WireWriter(192);
  writer.text(6, request.traceContext);
  writer.int(5, request.source);
  writer.int(4, request.resolution);
  writer.text(3, request.transactionId);
  writer.text(2, request.messageId);
  writeResource(writer, 1, request.topic);
  return writer.finish();
}
