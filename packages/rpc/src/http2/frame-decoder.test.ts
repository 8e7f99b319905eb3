import { expect, test } from '@jest/globals';
import { createPrng, type Prng } from '@raftmq/base';
import { FrameDecoder, type FrameSink } from './frame-decoder.js';
import { frameFlag, frameType } from './protocol.js';
import { rawFrame } from './testing/raw-peer.js';

const LIMITS = { frameBytesMax: 1000, controlBytesMax: 300 };

/** Writes down what a decoder says, pieces of DATA joined. */
class Notes implements FrameSink {
  readonly lines: string[] = [];
  #content: Buffer[] = [];

  dataStarted(streamId: number, flags: number, sizeBytes: number): void {
    this.lines.push(`data ${streamId} ${flags} ${sizeBytes}`);
  }

  dataPiece(chunk: Buffer, from: number, end: number): void {
    if (end <= from) throw new Error('an empty piece');
    this.#content.push(Buffer.from(chunk.subarray(from, end)));
  }

  dataEnded(): void {
    this.lines.push(`content ${Buffer.concat(this.#content).toString('hex')}`);
    this.#content = [];
  }

  frame(type: number, flags: number, id: number, bytes: Buffer, from: number, end: number): void {
    this.lines.push(`frame ${type} ${flags} ${id} ${bytes.toString('hex', from, end)}`);
  }
}

function randomFrames(prng: Prng): { bytes: Buffer; lines: string[] } {
  const frames: Buffer[] = [];
  const lines: string[] = [];
  for (let i = 0; i < 30; i++) {
    const id = prng.integer(0, 2 ** 31 - 1);
    const size = prng.chance(0.2) ? 0 : prng.integer(0, 299);
    const content = Buffer.from(Array.from({ length: size }, () => prng.integer(0, 255)));
    if (prng.chance(0.5)) {
      const padding = prng.chance(0.5) ? prng.integer(0, 255) : -1;
      const payload =
        padding < 0
          ? content
          : Buffer.concat([Buffer.from([padding]), content, Buffer.alloc(padding)]);
      const flags = padding < 0 ? 0 : frameFlag.PADDED;
      frames.push(rawFrame(frameType.DATA, flags, id, payload));
      lines.push(`data ${id} ${flags} ${payload.length}`, `content ${content.toString('hex')}`);
    } else {
      const type = prng.integer(1, 12);
      const flags = prng.integer(0, 255);
      // The payload of a type that nobody knows is passed over.
      const seen = type > frameType.CONTINUATION ? '' : content.toString('hex');
      frames.push(rawFrame(type, flags, id, content));
      lines.push(`frame ${type} ${flags} ${id} ${seen}`);
    }
  }
  return { bytes: Buffer.concat(frames), lines };
}

test('frames are the same in one chunk, byte by byte, and in chunks of any size', () => {
  for (let seed = 1; seed <= 50; seed++) {
    const prng = createPrng(seed);
    const { bytes, lines } = randomFrames(prng);
    for (const sizeMax of [bytes.length, 1, 12, 700]) {
      const notes = new Notes();
      const decoder = new FrameDecoder(notes, LIMITS);
      for (let at = 0; at < bytes.length;) {
        const size = sizeMax === bytes.length ? sizeMax : prng.integer(1, sizeMax);
        decoder.push(bytes.subarray(at, at + size));
        at += size;
      }
      expect(notes.lines).toEqual(lines);
    }
  }
});

test('DATA within a chunk is not copied', () => {
  const chunks: Buffer[] = [];
  const sink: FrameSink = {
    dataStarted: () => undefined,
    dataPiece: (chunk) => void chunks.push(chunk),
    dataEnded: () => undefined,
    frame: () => undefined,
  };
  const chunk = rawFrame(frameType.DATA, 0, 1, Buffer.alloc(100));
  new FrameDecoder(sink, LIMITS).push(chunk);
  expect(chunks).toEqual([chunk]);
  expect(chunks[0]).toBe(chunk);
});

test.each([
  [
    'a frame over the limit',
    rawFrame(frameType.DATA, 0, 1, Buffer.alloc(1001)),
    'FRAME_SIZE_ERROR',
  ],
  [
    'HEADERS over their limit',
    rawFrame(frameType.HEADERS, 0, 1, Buffer.alloc(301)),
    'ENHANCE_YOUR_CALM',
  ],
  [
    'no room for the pad length',
    rawFrame(0, frameFlag.PADDED, 1, Buffer.alloc(0)),
    'FRAME_SIZE_ERROR',
  ],
  [
    'more padding than frame',
    rawFrame(0, frameFlag.PADDED, 1, Buffer.from([2, 0])),
    'PROTOCOL_ERROR',
  ],
])('%s is an error as soon as it can be seen', (_what, bytes, code) => {
  const decoder = new FrameDecoder(new Notes(), LIMITS);
  expect(() => decoder.push(bytes.subarray(0, 10))).toThrow(expect.objectContaining({ code }));
});
