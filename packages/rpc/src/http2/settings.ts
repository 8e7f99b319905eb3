import {
  ConnectionError,
  DEFAULT_FRAME_BYTES_MAX,
  DEFAULT_WINDOW_BYTES,
  FRAME_BYTES_LIMIT,
  FRAME_HEADER_BYTES,
  frameType,
  setting,
  WINDOW_BYTES_MAX,
} from './protocol.js';

/* SETTINGS: pairs of id (2 bytes) and value (4). */

const PAIR_BYTES = 6;

/** A whole SETTINGS frame. */
export function settingsFrame(pairs: readonly (readonly [id: number, value: number])[]): Buffer {
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + PAIR_BYTES * pairs.length);
  frame.writeUIntBE(PAIR_BYTES * pairs.length, 0, 3);
  frame[3] = frameType.SETTINGS;
  pairs.forEach(([id, value], i) => {
    frame.writeUInt16BE(id, FRAME_HEADER_BYTES + PAIR_BYTES * i);
    frame.writeUInt32BE(value, FRAME_HEADER_BYTES + PAIR_BYTES * i + 2);
  });
  return frame;
}

/** What the other side asks us to keep to. */
export class PeerSettings {
  streamWindowBytes: number = DEFAULT_WINDOW_BYTES;
  frameBytesMax: number = DEFAULT_FRAME_BYTES_MAX;
  streamsMax = Infinity;
  /** It said ENABLE_PUSH. */
  pushes = false;
  /** Of the table for what we send. */
  headerTableBytes = 4096;

  /** @throws ConnectionError when a value is out of its range */
  read(bytes: Buffer, from: number, end: number): void {
    if ((end - from) % PAIR_BYTES !== 0) {
      throw new ConnectionError('FRAME_SIZE_ERROR', 'SETTINGS of a wrong size');
    }
    for (let at = from; at < end; at += PAIR_BYTES) {
      this.#apply(bytes.readUInt16BE(at), bytes.readUInt32BE(at + 2));
    }
  }

  #apply(id: number, value: number): void {
    switch (id) {
      case setting.HEADER_TABLE_SIZE:
        this.headerTableBytes = value;
        break;
      case setting.ENABLE_PUSH:
        if (value > 1) throw new ConnectionError('PROTOCOL_ERROR', `ENABLE_PUSH is ${value}`);
        this.pushes = value === 1;
        break;
      case setting.MAX_CONCURRENT_STREAMS:
        this.streamsMax = value;
        break;
      case setting.INITIAL_WINDOW_SIZE:
        if (value > WINDOW_BYTES_MAX) {
          throw new ConnectionError('FLOW_CONTROL_ERROR', `INITIAL_WINDOW_SIZE is ${value}`);
        }
        this.streamWindowBytes = value;
        break;
      case setting.MAX_FRAME_SIZE:
        if (value < DEFAULT_FRAME_BYTES_MAX || value > FRAME_BYTES_LIMIT) {
          throw new ConnectionError('PROTOCOL_ERROR', `MAX_FRAME_SIZE is ${value}`);
        }
        this.frameBytesMax = value;
        break;
      default:
        // Among them MAX_HEADER_LIST_SIZE: what we send is below what anybody allows.
        break;
    }
  }
}
