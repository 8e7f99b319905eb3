import { afterEach, expect, test } from '@jest/globals';
import { type CallContext, type RpcStream } from '../call.js';
import { type RpcServerLimits } from '../server.js';
import { frameFlag, frameType, setting, STREAM_ID_MAX } from './protocol.js';
import { settingsFrame } from './settings.js';
import { grpcMessage, rawFrame, RawPeer, requestBlock, uint32 } from './testing/raw-peer.js';
import { serve, type Served } from './testing/serve.js';

const { HEADERS, DATA, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, RST_STREAM } = frameType;
const { END_HEADERS, END_STREAM, ACK } = frameFlag;

let served: Served | null = null;
let peers: RawPeer[] = [];
let contexts: CallContext[] = [];
let streams: RpcStream<Buffer, Buffer>[] = [];
let heard: string[] = [];

afterEach(async () => {
  for (const peer of peers) peer.socket.destroy();
  await served?.server.close(0);
  expect(served?.errors ?? []).toEqual([]);
  served = null;
  peers = [];
  contexts = [];
  streams = [];
  heard = [];
});

async function start(
  limits: Partial<RpcServerLimits> = {},
  settings: readonly (readonly [number, number])[] = [],
): Promise<RawPeer> {
  served = await serve((server) => {
    server.register({
      kind: 'unary',
      path: '/t/Never',
      handler: (_request, context) => {
        contexts.push(context);
        return new Promise(() => undefined);
      },
    });
    server.register({
      kind: 'bidi',
      path: '/t/Talk',
      handler: (stream) => void streams.push(stream),
    });
  }, limits);
  return another(settings);
}

async function another(settings: readonly (readonly [number, number])[] = []): Promise<RawPeer> {
  const peer = await RawPeer.open(served!.port, settings);
  peers.push(peer);
  return peer;
}

const listener = {
  message: (message: Buffer): void => void heard.push(message.toString()),
  ended: (): void => void heard.push('ended'),
  closed: (failure: Error | null): void => void heard.push(failure?.message ?? 'ok'),
};

/** Lets everything happen that is under way: what is asked for behind it is answered behind it. */
async function settle(peer: RawPeer): Promise<void> {
  const opaque = Buffer.from(`settle${String(peer.frames.length % 100).padStart(2, '0')}`);
  peer.send(rawFrame(PING, 0, 0, opaque));
  await peer.frame('PING', ({ flags, payload }) => flags === ACK && payload.equals(opaque));
}

const NO_WINDOW = [[setting.INITIAL_WINDOW_SIZE, 0]] as const;
const update = (id: number, size: number): Buffer => rawFrame(WINDOW_UPDATE, 0, id, uint32(size));

test('an answer comes as far as the window of its stream goes', async () => {
  const peer = await start({}, NO_WINDOW);
  const message = grpcMessage(Buffer.from('0123456789'));
  peer.request(1, '/t/Echo', Buffer.from('0123456789'));
  await peer.frame('headers', ({ type, streamId }) => type === HEADERS && streamId === 1);
  for (let size = 1; size < message.length; size++) {
    peer.send(update(1, 1));
    await peer.until(`byte ${size}`, () => peer.data(1).length === size);
    expect(peer.data(1)).toEqual(message.subarray(0, size));
  }
  await settle(peer);
  expect(
    peer.frames.some(({ flags, streamId }) => streamId === 1 && (flags & END_STREAM) !== 0),
  ).toBe(false);
  peer.send(settingsFrame([[setting.INITIAL_WINDOW_SIZE, 100]]));
  await peer.ended(1);
  expect(peer.data(1)).toEqual(message);
});

test('a smaller window for new streams makes those of open ones negative', async () => {
  const peer = await start({}, [[setting.INITIAL_WINDOW_SIZE, 10]]);
  peer.request(1, '/t/Echo', Buffer.alloc(95));
  await peer.until('ten bytes', () => peer.data(1).length === 10);
  peer.send(settingsFrame(NO_WINDOW), update(1, 10));
  await settle(peer);
  expect(peer.data(1).length).toBe(10);
  peer.send(update(1, 1));
  await peer.until('one more', () => peer.data(1).length === 11);
  peer.send(update(1, 1000));
  await peer.ended(1);
});

test('a closed window of the connection holds back DATA alone, and is shared when it opens', async () => {
  const peer = await start();
  // The default window of the connection is 65,535; the streams' own are large.
  peer.send(settingsFrame([[setting.INITIAL_WINDOW_SIZE, 1_000_000]]));
  peer.request(1, '/t/Echo', Buffer.alloc(100_000));
  peer.request(3, '/t/Echo', Buffer.alloc(100_000));
  await peer.until('the window', () => peer.data(1).length + peer.data(3).length === 65_535);
  peer.request(5, '/t/Nowhere', Buffer.alloc(0));
  await peer.ended(5);
  peer.request(7, '/t/Echo', Buffer.from('x'));
  await settle(peer);
  expect(peer.data(7).length).toBe(0);
  // One stream less that waits.
  peer.send(rawFrame(RST_STREAM, 0, 3, uint32(8)), update(0, 1_000_000));
  await peer.ended(1);
  await peer.ended(7);
  expect(peer.data(1)).toEqual(grpcMessage(Buffer.alloc(100_000)));
});

test('a window that opens for more than one write leaves no stream behind', async () => {
  const peer = await start({}, [[setting.INITIAL_WINDOW_SIZE, 1_000_000]]);
  const ids = Array.from({ length: 20 }, (_, i) => 2 * i + 1);
  for (const id of ids) peer.request(id, '/t/Echo', Buffer.alloc(100_000));
  const received = (): number => ids.reduce((sum, id) => sum + peer.data(id).length, 0);
  await peer.until('the window', () => received() === 65_535);
  await settle(peer);
  peer.send(update(0, 10_000_000));
  for (const id of ids) await peer.ended(id);
});

test('a frame is no larger than the peer allows', async () => {
  const large = [
    [setting.MAX_FRAME_SIZE, 100_000],
    [setting.INITIAL_WINDOW_SIZE, 10_000_000],
  ] as const;
  const peer = await start({}, large);
  peer.send(update(0, 10_000_000));
  const body = Buffer.alloc(1_000_000, 5);
  // Larger than the window that we give: in two parts, with an update in between.
  peer.send(rawFrame(HEADERS, END_HEADERS, 1, requestBlock('/t/Echo')));
  const message = grpcMessage(body);
  for (let at = 0; at < message.length; at += 250_000) {
    peer.send(rawFrame(DATA, 0, 1, message.subarray(at, at + 250_000)));
  }
  peer.send(rawFrame(DATA, END_STREAM, 1, Buffer.alloc(0)));
  await peer.ended(1);
  expect(peer.data(1).equals(message)).toBe(true);
  const sizes = peer.frames
    .filter(({ type }) => type === DATA)
    .map(({ payload }) => payload.length);
  expect(Math.max(...sizes)).toBe(100_000);
});

test('a stream that is not listened to takes its window and no more; then it goes on in order', async () => {
  const peer = await start({ streamWindowBytes: 1000 });
  await settle(peer);
  peer.send(rawFrame(SETTINGS, ACK, 0, Buffer.alloc(0)));
  peer.request(1, '/t/Talk');
  const messages = Array.from({ length: 50 }, (_, i) =>
    grpcMessage(`message ${i} ${'x'.repeat(6)}`),
  );
  const bytes = Buffer.concat(messages).subarray(0, 1000);
  for (let at = 0; at < bytes.length; at += 7) {
    peer.send(rawFrame(DATA, 0, 1, bytes.subarray(at, at + 7)));
  }
  await settle(peer);
  const updates = (): number =>
    peer.frames
      .filter(({ type, streamId }) => type === WINDOW_UPDATE && streamId === 1)
      .reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);
  expect(updates()).toBe(0);
  expect(heard).toEqual([]);
  const stream = streams[0]!;
  stream.listen({
    ...listener,
    message(message) {
      listener.message(message);
      if (heard.length % 10 === 0) stream.pause();
    },
  });
  for (let count = 10; count <= 40; count += 10) {
    await peer.until(`${count} messages`, () => heard.length === count);
    await settle(peer);
    expect(heard.length).toBe(count);
    stream.resume();
  }
  await peer.until('an update', () => updates() > 0);
  peer.send(rawFrame(DATA, END_STREAM, 1, Buffer.concat(messages).subarray(1000)));
  await peer.until('the last message', () => heard.length === 50);
  stream.resume();
  await peer.until('the end', () => heard.length === 51);
  expect(heard).toEqual([...messages.map((message) => message.subarray(5).toString()), 'ended']);
});

test('a writer is told to wait, and when to go on', async () => {
  const peer = await start({}, NO_WINDOW);
  peer.request(1, '/t/Talk');
  await peer.until('the call', () => streams.length === 1);
  const stream = streams[0]!;
  stream.listen(listener);
  let written = 1;
  while (stream.write(Buffer.alloc(1000))) written++;
  expect(written).toBe(16);
  expect([stream.pending, stream.pendingBytes]).toEqual([16, 16_000]);
  let drained = false;
  void stream.drained().then(() => (drained = true));
  await settle(peer);
  expect(drained).toBe(false);
  peer.send(update(1, 1005));
  await peer.until('room', () => drained);
  expect([stream.pending, stream.pendingBytes]).toEqual([15, 15_000]);
  void stream.drained().then(() => undefined);
  peer.send(rawFrame(RST_STREAM, 0, 1, uint32(8)));
  await peer.until('the end', () => heard.length === 1);
  expect(heard).toEqual(['the caller is gone']);
  expect([stream.pending, stream.pendingBytes, stream.closed]).toEqual([0, 0, true]);
});

test('a client that does not take its answers gets no more of them', async () => {
  const peer = await start({ pendingBytesMax: 100_000 }, NO_WINDOW);
  for (let id = 1; id < 7; id += 2) peer.request(id, '/t/Echo', Buffer.alloc(40_000));
  await settle(peer);
  peer.request(9, '/t/Echo', Buffer.from('x'));
  await peer.ended(9);
  expect(served!.server.connectionProbe.refusedSlowReader).toBe(1);
  // It reads at last: everything comes, and new calls are answered again.
  peer.send(settingsFrame([[setting.INITIAL_WINDOW_SIZE, 50_000]]), update(0, 200_000));
  for (let id = 1; id < 7; id += 2) await peer.ended(id);
  peer.request(11, '/t/Echo', Buffer.from('x'));
  await peer.ended(11);
  expect(peer.data(11)).toEqual(grpcMessage('x'));
});

test('requests that never end get so much memory and no more', async () => {
  const peer = await start({ partialBytesPerConnectionMax: 100_000 });
  for (let id = 1; id <= 5; id += 2) {
    peer.request(id, '/t/Echo');
    peer.send(rawFrame(DATA, 0, id, grpcMessage(Buffer.alloc(40_000)).subarray(0, 20)));
  }
  await peer.ended(5);
  expect(await peer.reset(5)).toBe('NO_ERROR');
  expect(served!.server.connectionProbe.refusedMemory).toBe(1);
  // One of them is given up, and another fits.
  peer.send(rawFrame(RST_STREAM, 0, 1, uint32(8)));
  peer.request(7, '/t/Echo', Buffer.alloc(40_000));
  await peer.ended(7);
  expect(peer.data(7).length).toBe(40_005);
});

test('a message that only promises to be large costs nothing', async () => {
  const peer = await start();
  const before = process.memoryUsage().arrayBuffers;
  for (let id = 1; id < 41; id += 2) {
    peer.request(id, '/t/Echo');
    const prefix = Buffer.concat([Buffer.from([0]), uint32(100 * 1024 * 1024), Buffer.from('x')]);
    peer.send(rawFrame(DATA, 0, id, prefix));
  }
  await settle(peer);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 1024 * 1024);
});

test('a call ends with its deadline, and its handler hears of it', async () => {
  const peer = await start();
  peer.request(1, '/t/Never', Buffer.from('x'), { 'grpc-timeout': '30m' });
  peer.request(3, '/t/Never', Buffer.from('x'), { 'grpc-timeout': '99999999H' });
  peer.request(5, '/t/Echo', Buffer.from('x'), { 'grpc-timeout': 'soon' });
  await peer.ended(5);
  await peer.until('the calls', () => contexts.length === 2);
  const { signal } = contexts[0]!;
  await peer.ended(1);
  expect(signal.aborted).toBe(true);
  const last = peer.frames.findLast(({ streamId }) => streamId === 1)!;
  expect(last.payload.toString('latin1')).toContain('grpc-status\x014');
  expect(served!.server.connectionProbe.deadlinesPassed).toBe(1);
  expect(contexts[1]!.deadlineMs).toBeNull();
});

test('a server that closes warns, serves what is under way, and hangs up', async () => {
  const peer = await start();
  peer.request(1, '/t/Talk');
  await peer.until('the call', () => streams.length === 1);
  streams[0]!.listen(listener);
  const closed = served!.server.close(10_000);
  const warning = await peer.frame('GOAWAY', ({ type }) => type === GOAWAY);
  expect(warning.payload.readUInt32BE(0)).toBe(STREAM_ID_MAX);
  // Under way before the client heard of it: served.
  peer.request(3, '/t/Echo', Buffer.from('x'));
  const ping = await peer.frame('PING', ({ type }) => type === PING);
  peer.send(rawFrame(PING, ACK, 0, ping.payload));
  await peer.until(
    'the last word',
    () => peer.frames.filter(({ type }) => type === GOAWAY).length === 2,
  );
  const last = peer.frames.findLast(({ type }) => type === GOAWAY)!;
  expect([last.payload.readUInt32BE(0), last.payload.readUInt32BE(4)]).toEqual([3, 0]);
  await peer.ended(3);
  // After it: not served, and the client knows that it may try elsewhere.
  peer.request(5, '/t/Echo', Buffer.from('x'));
  expect(await peer.reset(5)).toBe('REFUSED_STREAM');
  expect(peer.closed).toBe(false);
  streams[0]!.write(Buffer.from('bye'));
  streams[0]!.end();
  await peer.ended(1);
  await peer.until('the end', () => peer.closed);
  expect(peer.data(1)).toEqual(grpcMessage('bye'));
  await closed;
});

test('a connection that gives no sign of life is given up, with its calls', async () => {
  const peer = await start({ keepaliveMs: 40, keepaliveTimeoutMs: 40 });
  peer.request(1, '/t/Talk');
  await peer.until('the call', () => streams.length === 1);
  streams[0]!.listen(listener);
  await peer.frame('a keepalive PING', ({ type, flags }) => type === PING && flags === 0);
  await peer.until('the end', () => peer.closed && heard.length === 1);
  expect(served!.server.connectionProbe.keepaliveTimeouts).toBe(1);
});

test('a connection that does not finish its preface is closed', async () => {
  await start({ peekTimeoutMs: 40 });
  const peer = await RawPeer.connect(served!.port);
  peers.push(peer);
  peer.send(Buffer.from('PRI * HTTP/2.0\r\n\r\n'));
  await peer.until('the end', () => peer.closed);
});
