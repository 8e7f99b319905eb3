import { connect, type Socket } from 'node:net';
import { literalField, indexedField } from '../hpack-encoder.js';
import { errorCodeName, frameFlag, frameType, PREFACE } from '../protocol.js';
import { settingsFrame } from '../settings.js';

/** A frame as bytes, right or wrong. */
export function rawFrame(type: number, flags: number, streamId: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(streamId, 5);
  return Buffer.concat([header, payload]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A gRPC message with its prefix. */
export function grpcMessage(body: Buffer | string, flag = 0): Buffer {
  const bytes = Buffer.from(body);
  return Buffer.concat([Buffer.from([flag]), uint32(bytes.length), bytes]);
}

/** The fields of a gRPC request, without a table. */
export function requestBlock(path: string, extra: Readonly<Record<string, string>> = {}): Buffer {
  return Buffer.concat([
    indexedField(3),
    indexedField(6),
    literalField(4, path),
    literalField(1, 'localhost'),
    literalField(31, 'application/grpc'),
    literalField('te', 'trailers'),
    ...Object.entries(extra).map(([name, value]) => literalField(name, value)),
  ]);
}

export interface ReceivedFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** One side of a connection, frame by frame, with no opinion about what is allowed. */
export class RawPeer {
  readonly frames: ReceivedFrame[] = [];
  readonly socket: Socket;
  closed = false;
  #bytes: Buffer = Buffer.alloc(0);
  #prefaceBytes: number;

  static async connect(port: number): Promise<RawPeer> {
    const socket = connect(port, '127.0.0.1');
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new RawPeer(socket);
  }

  /** Connects, and says what a client says first. */
  static async open(
    port: number,
    settings: readonly (readonly [number, number])[] = [],
  ): Promise<RawPeer> {
    const peer = await RawPeer.connect(port);
    peer.send(PREFACE, settingsFrame(settings));
    return peer;
  }

  /** @param prefaceBytes what comes in front of the first frame */
  constructor(socket: Socket, prefaceBytes = 0) {
    this.socket = socket;
    this.#prefaceBytes = prefaceBytes;
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => (this.closed = true));
  }

  send(...frames: Buffer[]): void {
    this.socket.write(Buffer.concat(frames));
  }

  /** Begins a call; without a body the stream stays open. */
  request(streamId: number, path: string, body?: Buffer, extra?: Record<string, string>): void {
    this.send(
      rawFrame(frameType.HEADERS, frameFlag.END_HEADERS, streamId, requestBlock(path, extra)),
    );
    if (body !== undefined) {
      this.send(rawFrame(frameType.DATA, frameFlag.END_STREAM, streamId, grpcMessage(body)));
    }
  }

  #read(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    if (this.#bytes.length < this.#prefaceBytes) return;
    this.#bytes = this.#bytes.subarray(this.#prefaceBytes);
    this.#prefaceBytes = 0;
    while (this.#bytes.length >= 9) {
      const size = this.#bytes.readUIntBE(0, 3);
      if (this.#bytes.length < 9 + size) return;
      this.frames.push({
        type: this.#bytes[3]!,
        flags: this.#bytes[4]!,
        streamId: this.#bytes.readUInt32BE(5),
        payload: this.#bytes.subarray(9, 9 + size),
      });
      this.#bytes = this.#bytes.subarray(9 + size);
    }
  }

  /** Waits for a frame, at most 5 s. */
  async frame(what: string, fits: (frame: ReceivedFrame) => boolean): Promise<ReceivedFrame> {
    await this.until(`a frame: ${what}`, () => this.frames.some(fits));
    return this.frames.find(fits)!;
  }

  async until(what: string, holds: () => boolean): Promise<void> {
    const endsAt = Date.now() + 5_000;
    while (!holds()) {
      if (Date.now() > endsAt) {
        const seen = this.frames.map(({ type, streamId }) => `${type}/${streamId}`).join(' ');
        throw new Error(`never came: ${what}; seen ${seen}, closed ${this.closed}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  /** The name of the code of the GOAWAY that ends the connection; waits for the end. */
  async goAway(): Promise<string> {
    await this.until('the end of the connection', () => this.closed);
    const last = this.frames.filter(({ type }) => type === frameType.GOAWAY).at(-1);
    return last === undefined ? 'no GOAWAY' : errorCodeName(last.payload.readUInt32BE(4));
  }

  /** The name of the code that this stream is reset with. */
  async reset(streamId: number): Promise<string> {
    const { payload } = await this.frame(
      `RST_STREAM of ${streamId}`,
      (frame) => frame.type === frameType.RST_STREAM && frame.streamId === streamId,
    );
    return errorCodeName(payload.readUInt32BE(0));
  }

  /** Waits until the stream ended. */
  async ended(streamId: number): Promise<void> {
    await this.frame(`END_STREAM of ${streamId}`, (frame) => isEnd(frame, streamId));
  }

  /** Content of the stream so far. */
  data(streamId: number): Buffer {
    return Buffer.concat(
      this.frames
        .filter((frame) => frame.type === frameType.DATA && frame.streamId === streamId)
        .map(({ payload }) => payload),
    );
  }
}

function isEnd({ type, flags, streamId }: ReceivedFrame, ofStream: number): boolean {
  const mayEnd = type === frameType.DATA || type === frameType.HEADERS;
  return mayEnd && streamId === ofStream && (flags & frameFlag.END_STREAM) !== 0;
}
