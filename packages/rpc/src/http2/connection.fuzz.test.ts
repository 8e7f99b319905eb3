import { expect, test } from '@jest/globals';
import { createPrng, type Prng } from '@raftmq/base';
import { frameFlag, frameType, PREFACE, setting } from './protocol.js';
import { settingsFrame } from './settings.js';
import { grpcMessage, rawFrame, RawPeer, requestBlock, uint32 } from './testing/raw-peer.js';
import { serve, type Served } from './testing/serve.js';

const SEEDS = 300;

const randomBytes = (prng: Prng, sizeMax: number): Buffer =>
  Buffer.from(Array.from({ length: prng.integer(0, sizeMax) }, () => prng.integer(0, 255)));

const PATHS = ['/t/Echo', '/t/Talk', '/t/Count', '/t/Never', '/t/Nowhere', '/'];

/** A frame as a client might send it, more or less. */
function someFrame(prng: Prng, state: { nextId: number }): Buffer {
  const known = prng.integer(0, Math.max(1, (state.nextId - 1) / 2)) * 2 + 1;
  const id = prng.chance(0.9) ? known : prng.integer(0, 2 ** 31 - 1);
  const flags = prng.chance(0.8) ? 0 : prng.integer(0, 255);
  switch (prng.integer(0, 12)) {
    case 0:
    case 1:
    case 2: {
      const block = requestBlock(prng.pick(PATHS), {
        'grpc-timeout': prng.pick(['1n', '5m', '10S', '99999999H']),
        'grpc-encoding': prng.pick(['identity', 'gzip', 'deflate']),
      });
      const fresh = state.nextId;
      state.nextId += 2;
      const ends = prng.chance(0.2) ? frameFlag.END_STREAM : 0;
      return rawFrame(frameType.HEADERS, frameFlag.END_HEADERS | ends, fresh, block);
    }
    case 3:
    case 4: {
      const ends = prng.chance(0.4) ? frameFlag.END_STREAM : 0;
      const message = grpcMessage(randomBytes(prng, 300), prng.chance(0.9) ? 0 : 1);
      return rawFrame(frameType.DATA, ends, known, message);
    }
    case 5:
      return rawFrame(frameType.DATA, flags, id, randomBytes(prng, 60));
    case 6:
      return rawFrame(
        frameType.WINDOW_UPDATE,
        0,
        prng.chance(0.3) ? 0 : id,
        uint32(prng.integer(0, 2 ** 20)),
      );
    case 7:
      return rawFrame(frameType.RST_STREAM, 0, known, uint32(prng.integer(0, 20)));
    case 8:
      return settingsFrame([
        [setting.INITIAL_WINDOW_SIZE, prng.integer(0, 70_000)],
        [prng.integer(0, 10), prng.integer(16_384, 100_000)],
      ]);
    case 9:
      return rawFrame(frameType.PING, prng.integer(0, 1), 0, Buffer.alloc(8));
    case 10:
      return rawFrame(frameType.HEADERS, flags | 4, id, randomBytes(prng, 50));
    case 11:
      return rawFrame(prng.integer(0, 12), prng.integer(0, 255), id, randomBytes(prng, 40));
    default:
      return rawFrame(frameType.CONTINUATION, flags, id, randomBytes(prng, 30));
  }
}

function session(prng: Prng): Buffer {
  const state = { nextId: 1 };
  const frames = [PREFACE, settingsFrame([])];
  for (let i = prng.integer(1, 60); i > 0; i--) frames.push(someFrame(prng, state));
  const bytes = Buffer.concat(frames);
  if (prng.chance(0.4)) {
    for (let i = prng.integer(1, 10); i > 0; i--) {
      bytes[prng.integer(24, bytes.length - 1)] = prng.integer(0, 255);
    }
  }
  if (prng.chance(0.2)) return bytes.subarray(0, prng.integer(24, bytes.length));
  return bytes;
}

function startServer(): Promise<Served> {
  return serve((server) => {
    server.register({
      kind: 'unary',
      path: '/t/Never',
      handler: () => new Promise(() => undefined),
    });
    server.register({
      kind: 'server-stream',
      path: '/t/Count',
      async handler(request, writer) {
        for (let i = 0; i < 200 && !writer.closed; i++) {
          if (!writer.write(Buffer.alloc(request.length))) await writer.drained();
        }
      },
    });
    server.register({
      kind: 'bidi',
      path: '/t/Talk',
      handler: (stream) =>
        stream.listen({
          message(message) {
            if (message.length % 7 === 3) {
              stream.pause();
              setImmediate(() => stream.resume());
            }
            if (message.length % 31 === 5) throw new Error('a listener that fails');
            stream.write(message);
          },
          ended: () => stream.end(),
          closed: () => undefined,
        }),
    });
  });
}

test('whatever a client sends, the server answers or hangs up, and goes on', async () => {
  const { server, port, errors } = await startServer();
  let ended = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const prng = createPrng(seed);
    const bytes = session(prng);
    const peer = await RawPeer.connect(port);
    for (let at = 0; at < bytes.length;) {
      const size = prng.chance(0.5) ? bytes.length : prng.integer(1, 100);
      peer.send(bytes.subarray(at, at + size));
      at += size;
      if (prng.chance(0.1)) await new Promise((resolve) => setImmediate(resolve));
    }
    // What was sent may end in the middle of a frame: so much more is the rest of any, and the end of all patience.
    const opaque = Buffer.from('the end!');
    peer.send(rawFrame(frameType.PING, 0, 0, opaque));
    const answered = (): boolean =>
      peer.closed ||
      peer.frames.some(({ type, payload }) => type === frameType.PING && payload.equals(opaque));
    const endsAt = Date.now() + 300;
    while (!answered() && Date.now() < endsAt)
      await new Promise((resolve) => setTimeout(resolve, 1));
    if (!answered()) {
      // It waits for the rest of a frame, as it should.
      peer.socket.end();
    }
    if (peer.closed) {
      ended++;
      expect(peer.frames.some(({ type }) => type === frameType.GOAWAY)).toBe(true);
    }
    peer.socket.destroy();
  }
  expect(ended).toBeGreaterThan(SEEDS / 4);
  expect(ended).toBeLessThan(SEEDS);
  // The listener above fails on purpose; nothing else may.
  expect(errors.filter((line) => !line.includes('a listener that fails'))).toEqual([]);
  const peer = await RawPeer.open(port);
  peer.request(1, '/t/Echo', Buffer.from('alive'));
  await peer.ended(1);
  await peer.until('all others gone', () => server.connections === 1);
  peer.socket.destroy();
  await server.close(0);
}, 60_000);
