import { readInt64, writeInt64 } from '@raftmq/base';
import { formatStoredHost, type StoredHost } from './stored-host.js';

/**
 * RocketMQ's own id of a stored message ("offset message id"), in upper-case hex: where it lies.
 *
 *   offset size field
 *        0    8 address of the broker that stored it: 4 IP, 4 port (with IPv6: 20 bytes, 16 IP, 4 port)
 *        8    8 position in that broker's commit log
 */
export function encodeOffsetMessageId(storeHost: StoredHost, position: number): string {
  const bytes = Buffer.alloc(storeHost.bytes.length + 8);
  storeHost.bytes.copy(bytes);
  writeInt64(bytes, position, storeHost.bytes.length);
  return bytes.toString('hex').toUpperCase();
}

/** What an offset message id says; null for a text that is none. */
export function decodeOffsetMessageId(
  text: string,
): { readonly storeHost: string; readonly position: number } | null {
  if (!/^(?:[0-9A-Fa-f]{32}|[0-9A-Fa-f]{56})$/.test(text)) return null;
  const bytes = Buffer.from(text, 'hex');
  const hostSize = bytes.length - 8;
  // Positions are far from 2^53, and ports from 2^16: anything else is an id of another kind.
  if (bytes.readUInt32BE(hostSize) >= 0x20_0000 || bytes.readUInt32BE(hostSize - 4) > 65_535)
    return null;
  return {
    storeHost: formatStoredHost(bytes, 0, hostSize === 20),
    position: readInt64(bytes, hostSize),
  };
}
