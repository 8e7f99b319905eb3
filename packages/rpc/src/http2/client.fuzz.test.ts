import { afterEach, expect, jest, test } from '@jest/globals';
import { createPrng, type Prng } from '@raftmq/base';
import { RpcChannel } from '../channel.js';
import { channelHost } from '../channel-host.js';
import { isRpcError } from '../status.js';
import { ANSWER_OK, ANSWER_START, failedAnswer, failedTrailers } from './answer-blocks.js';
import { type Connection } from './connection.js';
import { goAwayFrame } from './control-frames.js';
import { literalField } from './hpack-encoder.js';
import { frameFlag, frameType, setting } from './protocol.js';
import { settingsFrame } from './settings.js';
import { grpcMessage, rawFrame, uint32 } from './testing/raw-peer.js';
import { answerFrames, headers, RawServer } from './testing/raw-server.js';

const SEEDS = 200;

const randomBytes = (prng: Prng, sizeMax: number): Buffer =>
  Buffer.from(Array.from({ length: prng.integer(0, sizeMax) }, () => prng.integer(0, 255)));

const packed = Buffer.concat([ANSWER_START, literalField('grpc-encoding', 'gzip')]);
const informational = literalField(8, '103');

/** A frame as a server might send it, more or less, to a client with so many calls. */
function someFrame(prng: Prng, calls: number): Buffer {
  const known = 2 * prng.integer(0, calls - 1) + 1;
  const id = prng.chance(0.95) ? known : prng.integer(0, 2 ** 31 - 1);
  const flags = prng.chance(0.8) ? 0 : prng.integer(0, 255);
  switch (prng.integer(0, 14)) {
    case 0:
    case 1:
      return headers(known, prng.pick([ANSWER_START, ANSWER_START, packed, informational]));
    case 2:
      return headers(known, prng.pick([ANSWER_OK, failedTrailers(5, 'no')]), prng.chance(0.9));
    case 3:
    case 4:
      return answerFrames(known, randomBytes(prng, 200));
    case 5: {
      const message = grpcMessage(randomBytes(prng, 300), prng.chance(0.9) ? 0 : 1);
      const cut = prng.chance(0.7) ? message : message.subarray(0, prng.integer(0, message.length));
      return rawFrame(frameType.DATA, prng.chance(0.1) ? frameFlag.END_STREAM : 0, known, cut);
    }
    case 6:
      return rawFrame(frameType.DATA, flags, id, randomBytes(prng, 60));
    case 7:
      return rawFrame(
        frameType.WINDOW_UPDATE,
        0,
        prng.chance(0.3) ? 0 : id,
        uint32(prng.integer(prng.chance(0.9) ? 1 : 0, 2 ** 20)),
      );
    case 8:
      return rawFrame(frameType.RST_STREAM, 0, known, uint32(prng.integer(0, 20)));
    case 9:
      return settingsFrame([
        [setting.INITIAL_WINDOW_SIZE, prng.integer(0, 70_000)],
        [setting.HEADER_TABLE_SIZE, prng.integer(0, 5_000)],
        [setting.MAX_CONCURRENT_STREAMS, prng.integer(0, 10)],
      ]);
    case 10:
      return rawFrame(frameType.PING, prng.integer(0, 1), 0, Buffer.alloc(8));
    case 11:
      return prng.chance(0.3)
        ? goAwayFrame(prng.chance(0.5) ? id : 2 ** 31 - 1, prng.integer(0, 13), 'bye')
        : headers(known, failedAnswer(13, 'no'), true);
    case 12:
      return prng.chance(0.3)
        ? headers(id, randomBytes(prng, 50), prng.chance(0.5))
        : Buffer.alloc(0);
    case 13:
      return prng.chance(0.3)
        ? rawFrame(prng.integer(0, 12), prng.integer(0, 255), id, randomBytes(prng, 40))
        : answerFrames(known, 'x');
    default:
      return headers(known, ANSWER_START);
  }
}

function whatItSays(prng: Prng, calls: number): Buffer {
  const frames: Buffer[] = [];
  for (let i = prng.integer(1, 60); i > 0; i--) frames.push(someFrame(prng, calls));
  const bytes = Buffer.concat(frames);
  if (prng.chance(0.3)) {
    for (let i = prng.integer(1, 5); i > 0; i--) {
      if (bytes.length > 0) bytes[prng.integer(0, bytes.length - 1)] = prng.integer(0, 255);
    }
  }
  return prng.chance(0.8) ? bytes : bytes.subarray(0, prng.integer(0, bytes.length));
}

/** Begins a call; resolves with how it ended, whatever happens in between. */
function someCall(channel: RpcChannel, prng: Prng): Promise<unknown> {
  const abort = new AbortController();
  const settings = {
    deadlineMs: prng.chance(0.8) ? null : Date.now() + prng.integer(0, 20),
    headers: { 'x-a': prng.pick(['a', 'b']), 'x-b': 'b'.repeat(prng.integer(0, 100)) },
    signal: abort.signal,
  };
  if (prng.chance(0.1)) setImmediate(() => abort.abort());
  const request = randomBytes(prng, 300);
  const ended = (promise: Promise<unknown>): Promise<unknown> =>
    promise.then(
      () => null,
      (error: unknown) => error,
    );
  switch (prng.integer(0, 2)) {
    case 0:
      return ended(channel.unary('/t/Echo', request, settings));
    case 1: {
      const leaves = prng.chance(0.2);
      const read = async (): Promise<void> => {
        for await (const message of channel.serverStream('/t/Count', request, settings)) {
          if (leaves || message.length === 17) return;
        }
      };
      return ended(read());
    }
    default: {
      const stream = channel.bidi('/t/Talk', settings);
      return new Promise((resolve, reject) => {
        let closed = false;
        stream.listen({
          message(message) {
            if (closed) reject(new Error('a message behind the end'));
            if (message.length % 7 === 3) {
              stream.pause();
              setImmediate(() => stream.resume());
            }
            if (message.length % 31 === 5) throw new Error('a listener that fails');
            stream.write(message);
          },
          closed(failure) {
            if (closed) reject(new Error('two ends'));
            closed = true;
            resolve(failure);
          },
        });
        stream.write(request);
        if (prng.chance(0.5)) stream.end();
      });
    }
  }
}

afterEach(() => {
  jest.restoreAllMocks();
});

test('whatever a server says, each call ends once, and nothing is left of it', async () => {
  const connections: Connection[] = [];
  const join = channelHost.joined.bind(channelHost);
  jest.spyOn(channelHost, 'joined').mockImplementation((connection, nowMs) => {
    connections.push(connection);
    join(connection, nowMs);
  });
  const warnings = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  const server = await RawServer.start();
  server.greeting = Buffer.alloc(0);
  const outcomes = new Map<string, number>();
  for (let seed = 1; seed <= SEEDS; seed++) {
    const prng = createPrng(seed);
    const count = prng.integer(1, 8);
    const channel = new RpcChannel({ address: server.address, tls: null });
    const calls = Array.from({ length: count }, () => someCall(channel, prng));
    const peer = await server.peer(seed - 1);
    // When this is answered, the calls have come.
    peer.send(
      settingsFrame(prng.chance(0.9) ? [] : [[setting.MAX_CONCURRENT_STREAMS, 2]]),
      rawFrame(frameType.PING, 0, 0, Buffer.alloc(8)),
    );
    await peer.frame('PING', ({ type }) => type === frameType.PING);
    const bytes = whatItSays(prng, count);
    for (let at = 0; at < bytes.length;) {
      const size = prng.chance(0.5) ? bytes.length : prng.integer(1, 100);
      peer.send(bytes.subarray(at, at + size));
      at += size;
      if (prng.chance(0.3)) await new Promise((resolve) => setImmediate(resolve));
    }
    if (prng.chance(0.5)) channel.close();
    peer.socket.end();
    for (const failure of await Promise.all(calls)) {
      const known = isRpcError(failure);
      const outcome = failure === null ? 'OK' : known ? failure.status : (failure as Error).message;
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    channel.close();
  }
  await server.close();
  expect(connections.length).toBe(SEEDS);
  for (const connection of connections) {
    const { streams } = connection as unknown as { streams: Map<number, unknown> };
    expect([streams.size, connection.pendingBytes]).toEqual([0, 0]);
  }
  expect(channelHost.partialMemory.usedBytes).toBe(0);
  // Nothing of ours failed, and calls ended in all ways.
  expect(warnings.mock.calls).toEqual([]);
  for (const outcome of ['OK', 'UNAVAILABLE', 'CANCELLED', 'INTERNAL']) {
    expect(outcomes.get(outcome) ?? 0).toBeGreaterThan(20);
  }
}, 60_000);
