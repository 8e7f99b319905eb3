import { MqError } from '@raftmq/base';
import { protocolLimits, type PreparedMessage } from '@raftmq/protocol';

/** Messages of one send call together, as stored: they become part of one entry. */
const SEND_SIZE_BYTES_MAX = protocolLimits.sendBodiesSizeBytesMax + 16 * 1024 * 1024;

/**
 * Adds up the messages of one send call.
 * @throws MqError PAYLOAD_TOO_LARGE when they do not fit into an entry
 */
export function sendSizeBytes(messages: readonly PreparedMessage[]): number {
  let sizeBytes = 0;
  for (let i = 0; i < messages.length; i++) sizeBytes += messages[i]!.sizeBytes;
  if (sizeBytes > SEND_SIZE_BYTES_MAX) {
    throw new MqError(
      'PAYLOAD_TOO_LARGE',
      `the messages of one call take ${sizeBytes} bytes; the limit is ${SEND_SIZE_BYTES_MAX}: send them in several calls`,
    );
  }
  return sizeBytes;
}
