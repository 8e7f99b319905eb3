import { FRAME_HEADER_BYTES, frameFlag, frameType } from './protocol.js';

/* Whole frames that are rare enough to be buffers of their own. */

const DEBUG_BYTES_MAX = 128;

export const SETTINGS_ACK = frame(frameType.SETTINGS, frameFlag.ACK, 0, 0);

function frame(type: number, flags: number, streamId: number, sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES + sizeBytes);
  bytes.writeUIntBE(sizeBytes, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(streamId, 5);
  return bytes;
}

export function windowUpdateFrame(streamId: number, incrementBytes: number): Buffer {
  const bytes = frame(frameType.WINDOW_UPDATE, 0, streamId, 4);
  bytes.writeUInt32BE(incrementBytes, FRAME_HEADER_BYTES);
  return bytes;
}

export function resetFrame(streamId: number, code: number): Buffer {
  const bytes = frame(frameType.RST_STREAM, 0, streamId, 4);
  bytes.writeUInt32BE(code, FRAME_HEADER_BYTES);
  return bytes;
}

/** @param opaque eight bytes; those of the PING that is answered when `answers` */
export function pingFrame(opaque: Buffer, answers: boolean): Buffer {
  const bytes = frame(frameType.PING, answers ? frameFlag.ACK : 0, 0, opaque.length);
  opaque.copy(bytes, FRAME_HEADER_BYTES);
  return bytes;
}

/** @param debug for a human at the other side; cut to a size that nobody minds */
export function goAwayFrame(lastStreamId: number, code: number, debug: string): Buffer {
  const text = Buffer.from(debug, 'utf8').subarray(0, DEBUG_BYTES_MAX);
  const bytes = frame(frameType.GOAWAY, 0, 0, 8 + text.length);
  bytes.writeUInt32BE(lastStreamId, FRAME_HEADER_BYTES);
  bytes.writeUInt32BE(code, FRAME_HEADER_BYTES + 4);
  text.copy(bytes, FRAME_HEADER_BYTES + 8);
  return bytes;
}

/** HEADERS with a whole block. */
export function headersFrame(streamId: number, ends: boolean, block: Buffer): Buffer {
  const flags = frameFlag.END_HEADERS | (ends ? frameFlag.END_STREAM : 0);
  const bytes = frame(frameType.HEADERS, flags, streamId, block.length);
  block.copy(bytes, FRAME_HEADER_BYTES);
  return bytes;
}
