import { CONTINUATIONS_MAX, HEADER_BLOCK_BYTES_MAX } from './limits.js';
import { ConnectionError, frameFlag } from './protocol.js';

const PRIORITY_BYTES = 5;

/** Where the fragment lies in a HEADERS frame; reused, read it at once. */
export const fragment = { from: 0, end: 0 };

/**
 * Finds the fragment of a HEADERS frame: behind the pad length and the priority, both optional, in front of the padding.
 * @throws ConnectionError when they do not fit into the frame
 */
export function findFragment(flags: number, bytes: Buffer, from: number, end: number): void {
  let start = from;
  let stop = end;
  if ((flags & frameFlag.PADDED) !== 0) {
    if (start === end) throw new ConnectionError('FRAME_SIZE_ERROR', 'HEADERS without pad length');
    stop -= bytes[start++]!;
  }
  if ((flags & frameFlag.PRIORITY) !== 0) {
    start += PRIORITY_BYTES;
    if (start > end) throw new ConnectionError('FRAME_SIZE_ERROR', 'HEADERS without priority');
  }
  if (start > stop) throw new ConnectionError('PROTOCOL_ERROR', 'more padding than HEADERS');
  fragment.from = start;
  fragment.end = stop;
}

/** A header block that goes on in CONTINUATION frames: nothing else may come in between. */
export class HeaderBlock {
  readonly streamId: number;
  readonly flags: number;
  bytes: Buffer;
  #continuations = 0;

  constructor(streamId: number, flags: number, fragment: Buffer) {
    this.streamId = streamId;
    this.flags = flags;
    this.bytes = Buffer.from(fragment);
  }

  /** @throws ConnectionError when there is no end to it */
  append(fragment: Buffer): void {
    this.#continuations++;
    if (
      this.#continuations > CONTINUATIONS_MAX ||
      this.bytes.length + fragment.length > HEADER_BLOCK_BYTES_MAX
    ) {
      throw new ConnectionError('ENHANCE_YOUR_CALM', 'header fields without end');
    }
    this.bytes = Buffer.concat([this.bytes, fragment]);
  }
}
