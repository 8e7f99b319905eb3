import { bodyEncoding, type PublishMessage, type Resource } from '../model/message.js';
import { type MessageType } from '../model/topic.js';
import { encodeResource } from './shared.js';
import { WireWriter } from './wire.js';

/** A message as a client sends it. */
export interface OutgoingMessage extends PublishMessage {
  readonly messageType: MessageType;
  /** Unix milliseconds, null = at once. */
  readonly deliveryTimestampMs: number | null;
  readonly liteTopic: string | null;
  readonly priority: number | null;
  /** Orphaned transaction recovery duration; left out or null = the server's own. */
  readonly transactionRecoveryMs?: number | null;
}

/**
 * Encodes a SendMessageRequest.
 *
 * @param messages their texts must be well-formed: see {@link measureText}
 * @returns a Buffer of its own; bodies were copied
 */
export function encodeSendMessageRequest(
  topic: Resource,
  messages: readonly OutgoingMessage[],
): Buffer {
  const topicBytes = encodeResource(topic);
  let hint = 64;
  for (let i = 0; i < messages.length; i++)
    hint += messages[i]!.body.length + topicBytes.length + 256;
  const writer = new WireWriter(hint);
  for (let i = messages.length - 1; i >= 0; i--) writeMessage(writer, topicBytes, messages[i]!);
  return writer.finish();
}

function writeMessage(writer: WireWriter, topicBytes: Buffer, message: OutgoingMessage): void {
  const mark = writer.size;
  writer.bytes(4, message.body);
  const systemMark = writer.size;
  if (message.priority !== null) writer.presentInt(22, message.priority);
  if (message.liteTopic !== null) writer.text(21, message.liteTopic);
  const recoveryMs = message.transactionRecoveryMs ?? null;
  if (recoveryMs !== null) writer.timeMs(19, recoveryMs);
  if (message.traceContext !== null) writer.text(18, message.traceContext);
  if (message.messageGroup !== null) writer.text(17, message.messageGroup);
  if (message.deliveryTimestampMs !== null) writer.timeMs(11, message.deliveryTimestampMs);
  writer.text(8, message.bornHost);
  writer.timeMs(7, message.bornTimestampMs);
  writer.int(6, message.messageType);
  writer.int(5, message.gzip ? bodyEncoding.GZIP : bodyEncoding.IDENTITY);
  writer.text(3, message.messageId);
  for (let i = message.keys.length - 1; i >= 0; i--) writer.presentText(2, message.keys[i]!);
  if (message.tag !== null) writer.text(1, message.tag);
  writer.message(3, systemMark);
  const properties = message.userProperties;
  for (let i = properties.length - 2; i >= 0; i -= 2) {
    const propertyMark = writer.size;
    writer.presentText(2, properties[i + 1]!);
    writer.presentText(1, properties[i]!);
    writer.message(2, propertyMark);
  }
  writer.bytes(1, topicBytes);
  writer.message(1, mark);
}
