import { constants } from 'node:buffer';
import { gunzip, inflate } from 'node:zlib';

/** In front of each message: whether it is packed (1 byte), and its size (4). */
export const MESSAGE_PREFIX_BYTES = 5;

/** How messages may be packed; gRPC's names. */
export type MessageEncoding = 'gzip' | 'deflate';

/** What a client may send, for the answer to one that sent something else. */
export const ACCEPTED_ENCODINGS = 'identity,deflate,gzip';

/** The encoding that a `grpc-encoding` names; null = none, undefined = one that we do not know. */
export function encodingOf(value: string): MessageEncoding | null | undefined {
  if (value === 'identity') return null;
  return value === 'gzip' || value === 'deflate' ? value : undefined;
}

/**
 * Unpacks one message, on another thread.
 * @param done gets the bytes, or null and why: more than `sizeBytesMax`, or no such format
 */
export function unpack(
  encoding: MessageEncoding,
  message: Buffer,
  sizeBytesMax: number,
  done: (unpacked: Buffer | null, refusal: 'size' | 'format' | null) => void,
): void {
  const work = encoding === 'gzip' ? gunzip : inflate;
  const maxOutputLength = Math.min(Math.max(1, sizeBytesMax), constants.MAX_LENGTH);
  work(message, { maxOutputLength }, (error, unpacked) => {
    if (error === null) done(unpacked, null);
    else
      done(
        null,
        (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? 'size' : 'format',
      );
  });
}
