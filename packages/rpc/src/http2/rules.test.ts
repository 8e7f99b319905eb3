import { afterEach, expect, test } from '@jest/globals';
import { type RpcServerLimits } from '../server.js';
import { indexedField, literalField } from './hpack-encoder.js';
import { IDLE_FRAMES_MAX } from './limits.js';
import { frameFlag, frameType, PREFACE, setting } from './protocol.js';
import { settingsFrame } from './settings.js';
import { grpcMessage, rawFrame, RawPeer, requestBlock, uint32 } from './testing/raw-peer.js';
import { serve, type Served } from './testing/serve.js';

const { HEADERS, DATA, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, RST_STREAM, CONTINUATION } =
  frameType;
const { END_HEADERS, END_STREAM, PADDED, ACK } = frameFlag;
const PRIORITY_FLAG = frameFlag.PRIORITY;
const NOTHING = Buffer.alloc(0);
const ECHO = requestBlock('/t/Echo');
const opened = (id: number): Buffer => rawFrame(HEADERS, END_HEADERS, id, ECHO);

let served: Served | null = null;
let peers: RawPeer[] = [];

afterEach(async () => {
  for (const peer of peers) peer.socket.destroy();
  peers = [];
  await served?.server.close(0);
  // Whatever a peer does: no failure of ours.
  expect(served?.errors ?? []).toEqual([]);
  served = null;
});

async function start(limits: Partial<RpcServerLimits> = {}): Promise<RawPeer> {
  served = await serve((server) => {
    server.register({
      kind: 'unary',
      path: '/t/Never',
      handler: () => new Promise(() => undefined),
    });
    server.register({ kind: 'bidi', path: '/t/Mute', handler: () => undefined });
  }, limits);
  return another();
}

async function another(settings: readonly (readonly [number, number])[] = []): Promise<RawPeer> {
  const peer = await RawPeer.open(served!.port, settings);
  peers.push(peer);
  return peer;
}

/** A call of another client goes through: the server lives. */
async function expectAlive(): Promise<void> {
  const peer = await another();
  peer.request(1, '/t/Echo', Buffer.from('alive'));
  await peer.ended(1);
  expect(peer.data(1)).toEqual(grpcMessage('alive'));
}

const tooManyContinuations = (): Buffer[] => [
  rawFrame(HEADERS, 0, 1, ECHO),
  ...Array.from({ length: 30 }, () => rawFrame(CONTINUATION, 0, 1, NOTHING)),
];

test.each<[string, () => Buffer[], string]>([
  ['DATA on stream 0', () => [rawFrame(DATA, 0, 0, NOTHING)], 'PROTOCOL_ERROR'],
  ['DATA on an idle stream', () => [rawFrame(DATA, 0, 7, NOTHING)], 'PROTOCOL_ERROR'],
  ['HEADERS on stream 0', () => [rawFrame(HEADERS, END_HEADERS, 0, ECHO)], 'PROTOCOL_ERROR'],
  ['HEADERS on an even stream', () => [opened(2)], 'PROTOCOL_ERROR'],
  [
    'HEADERS with more padding than frame',
    () => [rawFrame(HEADERS, END_HEADERS | PADDED, 1, Buffer.from([9, 0x82]))],
    'PROTOCOL_ERROR',
  ],
  [
    'HEADERS without their priority',
    () => [rawFrame(HEADERS, END_HEADERS | PRIORITY_FLAG, 1, Buffer.from([0]))],
    'FRAME_SIZE_ERROR',
  ],
  ['PRIORITY on stream 0', () => [rawFrame(2, 0, 0, Buffer.alloc(5))], 'PROTOCOL_ERROR'],
  ['RST_STREAM on stream 0', () => [rawFrame(RST_STREAM, 0, 0, uint32(8))], 'PROTOCOL_ERROR'],
  ['RST_STREAM on an idle stream', () => [rawFrame(RST_STREAM, 0, 5, uint32(8))], 'PROTOCOL_ERROR'],
  [
    'RST_STREAM of a wrong size',
    () => [opened(1), rawFrame(RST_STREAM, 0, 1, Buffer.alloc(3))],
    'FRAME_SIZE_ERROR',
  ],
  ['SETTINGS on a stream', () => [rawFrame(SETTINGS, 0, 1, NOTHING)], 'PROTOCOL_ERROR'],
  [
    'SETTINGS of a wrong size',
    () => [rawFrame(SETTINGS, 0, 0, Buffer.alloc(5))],
    'FRAME_SIZE_ERROR',
  ],
  [
    'SETTINGS ACK with content',
    () => [rawFrame(SETTINGS, ACK, 0, Buffer.alloc(6))],
    'FRAME_SIZE_ERROR',
  ],
  ['ENABLE_PUSH of 2', () => [settingsFrame([[setting.ENABLE_PUSH, 2]])], 'PROTOCOL_ERROR'],
  [
    'INITIAL_WINDOW_SIZE over 2^31 - 1',
    () => [settingsFrame([[setting.INITIAL_WINDOW_SIZE, 2 ** 31]])],
    'FLOW_CONTROL_ERROR',
  ],
  ['MAX_FRAME_SIZE of 1', () => [settingsFrame([[setting.MAX_FRAME_SIZE, 1]])], 'PROTOCOL_ERROR'],
  ['PUSH_PROMISE', () => [rawFrame(5, END_HEADERS, 1, Buffer.alloc(8))], 'PROTOCOL_ERROR'],
  ['PING on a stream', () => [rawFrame(PING, 0, 1, Buffer.alloc(8))], 'PROTOCOL_ERROR'],
  ['PING of a wrong size', () => [rawFrame(PING, 0, 0, Buffer.alloc(7))], 'FRAME_SIZE_ERROR'],
  ['GOAWAY on a stream', () => [rawFrame(GOAWAY, 0, 1, Buffer.alloc(8))], 'PROTOCOL_ERROR'],
  ['WINDOW_UPDATE of nothing', () => [rawFrame(WINDOW_UPDATE, 0, 0, uint32(0))], 'PROTOCOL_ERROR'],
  [
    'WINDOW_UPDATE on an idle stream',
    () => [rawFrame(WINDOW_UPDATE, 0, 3, uint32(1))],
    'PROTOCOL_ERROR',
  ],
  [
    'a window of the connection over 2^31 - 1',
    () => [rawFrame(WINDOW_UPDATE, 0, 0, uint32(2 ** 31 - 1))],
    'FLOW_CONTROL_ERROR',
  ],
  [
    'windows of streams over 2^31 - 1 by SETTINGS',
    () => [
      rawFrame(HEADERS, END_HEADERS, 1, requestBlock('/t/Never')),
      rawFrame(WINDOW_UPDATE, 0, 1, uint32(2 ** 31 - 1 - 65_535)),
      settingsFrame([[setting.INITIAL_WINDOW_SIZE, 65_536]]),
    ],
    'FLOW_CONTROL_ERROR',
  ],
  ['CONTINUATION by itself', () => [rawFrame(CONTINUATION, 0, 1, NOTHING)], 'PROTOCOL_ERROR'],
  [
    'a frame inside a header block',
    () => [rawFrame(HEADERS, 0, 1, ECHO), rawFrame(PING, 0, 0, Buffer.alloc(8))],
    'PROTOCOL_ERROR',
  ],
  [
    'DATA inside a header block',
    () => [rawFrame(HEADERS, 0, 1, ECHO), rawFrame(DATA, 0, 1, NOTHING)],
    'PROTOCOL_ERROR',
  ],
  [
    'an unknown frame inside a header block',
    () => [rawFrame(HEADERS, 0, 1, ECHO), rawFrame(77, 0, 0, NOTHING)],
    'PROTOCOL_ERROR',
  ],
  [
    'CONTINUATION of another stream',
    () => [rawFrame(HEADERS, 0, 1, ECHO), rawFrame(CONTINUATION, END_HEADERS, 3, NOTHING)],
    'PROTOCOL_ERROR',
  ],
  [
    'a header block that cannot be decoded',
    () => [rawFrame(HEADERS, END_HEADERS, 1, Buffer.from([0x80]))],
    'COMPRESSION_ERROR',
  ],
  [
    'a frame that is too large',
    () => [Buffer.from([4, 0, 1, DATA, 0, 0, 0, 0, 1])],
    'FRAME_SIZE_ERROR',
  ],
  ['a header block without end', tooManyContinuations, 'ENHANCE_YOUR_CALM'],
  [
    'header fields of 32 KiB and more',
    () => [
      rawFrame(HEADERS, 0, 1, Buffer.alloc(20_000, 0x82)),
      rawFrame(CONTINUATION, 0, 1, Buffer.alloc(20_000, 0x82)),
    ],
    'ENHANCE_YOUR_CALM',
  ],
  [
    'a flood of PINGs',
    () => Array.from({ length: IDLE_FRAMES_MAX + 1 }, () => rawFrame(PING, 0, 0, Buffer.alloc(8))),
    'ENHANCE_YOUR_CALM',
  ],
  [
    'a flood of SETTINGS',
    () => Array.from({ length: IDLE_FRAMES_MAX + 1 }, () => settingsFrame([])),
    'ENHANCE_YOUR_CALM',
  ],
  [
    'a flood of empty DATA',
    () => [
      rawFrame(HEADERS, END_HEADERS, 1, requestBlock('/t/Never')),
      ...Array.from({ length: IDLE_FRAMES_MAX + 1 }, () => rawFrame(DATA, 0, 1, NOTHING)),
    ],
    'ENHANCE_YOUR_CALM',
  ],
  [
    'DATA beyond the window of the connection',
    // Nobody listens there: each stream keeps what it gets, within its own window.
    () =>
      Array.from({ length: 17 }, (_, i) => [
        rawFrame(HEADERS, END_HEADERS, 2 * i + 1, requestBlock('/t/Mute')),
        rawFrame(DATA, 0, 2 * i + 1, Buffer.alloc(65_000)),
      ]).flat(),
    'FLOW_CONTROL_ERROR',
  ],
  [
    'HEADERS on a stream that ended long ago',
    () => [
      ...Array.from({ length: 300 }, (_, i) => [
        rawFrame(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, requestBlock('/t/Never')),
        rawFrame(RST_STREAM, 0, 2 * i + 1, uint32(8)),
      ]).flat(),
      opened(1),
    ],
    'STREAM_CLOSED',
  ],
])('%s ends the connection', async (_what, frames, code) => {
  const peer = await start({ connectionWindowBytes: 1024 * 1024, streamWindowBytes: 65_535 });
  peer.send(...frames());
  expect(await peer.goAway()).toBe(code);
  await expectAlive();
  const { protocolErrors, floods } = served!.server.connectionProbe;
  expect(protocolErrors + floods).toBe(1);
});

test.each([
  ['another frame than SETTINGS', Buffer.concat([PREFACE, rawFrame(PING, 0, 0, Buffer.alloc(8))])],
  ['an acknowledgement', Buffer.concat([PREFACE, rawFrame(SETTINGS, ACK, 0, NOTHING)])],
  ['a wrong preface', Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\rX' + 'x'.repeat(20))],
])('%s at the beginning ends the connection', async (_what, bytes) => {
  await start();
  const peer = await RawPeer.connect(served!.port);
  peers.push(peer);
  peer.send(bytes);
  expect(await peer.goAway()).toBe('PROTOCOL_ERROR');
  await expectAlive();
});

test.each<[string, Buffer[], string]>([
  [
    'DATA after its end',
    [rawFrame(DATA, END_STREAM, 1, NOTHING), rawFrame(DATA, 0, 1, NOTHING)],
    'STREAM_CLOSED',
  ],
  [
    'HEADERS after its end',
    [rawFrame(DATA, END_STREAM, 1, grpcMessage('x')), opened(1)],
    'STREAM_CLOSED',
  ],
  ['trailers that do not end it', [opened(1)], 'PROTOCOL_ERROR'],
  ['a WINDOW_UPDATE of nothing', [rawFrame(WINDOW_UPDATE, 0, 1, uint32(0))], 'PROTOCOL_ERROR'],
  [
    'a window over 2^31 - 1',
    [rawFrame(WINDOW_UPDATE, 0, 1, uint32(2 ** 31 - 1))],
    'FLOW_CONTROL_ERROR',
  ],
  ['DATA beyond its window', [rawFrame(DATA, 0, 1, Buffer.alloc(70_000))], 'FLOW_CONTROL_ERROR'],
  ['PRIORITY of a wrong size', [rawFrame(2, 0, 1, Buffer.alloc(4))], 'FRAME_SIZE_ERROR'],
])('%s resets the stream, and the connection lives', async (_what, frames, code) => {
  const peer = await start({ streamWindowBytes: 1000 });
  peer.send(rawFrame(HEADERS, END_HEADERS, 1, requestBlock('/t/Never')), ...frames);
  expect(await peer.reset(1)).toBe(code);
  peer.request(3, '/t/Echo', Buffer.from('x'));
  await peer.ended(3);
  expect(served!.server.connectionProbe.malformedCalls).toBe(1);
});

const post = indexedField(3);
const http = indexedField(6);
const path = literalField(4, '/t/Echo');
const grpc = literalField(31, 'application/grpc');

test.each<[string, Buffer[]]>([
  ['no method', [http, path, grpc]],
  ['no path', [post, http, grpc]],
  ['an empty path', [post, http, literalField(4, ''), grpc]],
  ['no scheme', [post, path, grpc]],
  ['two methods', [post, post, http, path, grpc]],
  ['a pseudo-header behind a header', [post, http, grpc, path]],
  ['an unknown pseudo-header', [post, http, path, literalField(':x', 'y'), grpc]],
  ['a status', [post, http, path, indexedField(8), grpc]],
  ['a name with capitals', [post, http, path, grpc, literalField('X-Name', 'y')]],
  ['a name with a blank', [post, http, path, grpc, literalField('x name', 'y')]],
  ['an empty name', [post, http, path, grpc, literalField('', 'y')]],
  ['a connection header', [post, http, path, grpc, literalField('connection', 'close')]],
  ['transfer-encoding', [post, http, path, grpc, literalField('transfer-encoding', 'chunked')]],
  ['a te other than trailers', [post, http, path, grpc, literalField('te', 'gzip')]],
  ['a value with a line break', [post, http, path, grpc, literalField('x', 'a\r\nb')]],
  ['a value with NUL', [post, http, path, grpc, literalField('x', 'a\0b')]],
  [
    'a content-length that is no number',
    [post, http, path, grpc, literalField('content-length', '-1')],
  ],
])('a request with %s is reset', async (_what, fields) => {
  const peer = await start();
  peer.send(rawFrame(HEADERS, END_HEADERS | END_STREAM, 1, Buffer.concat(fields)));
  expect(await peer.reset(1)).toBe('PROTOCOL_ERROR');
  peer.request(3, '/t/Echo', Buffer.from('x'));
  await peer.ended(3);
});

test.each([
  ['more', '3', 1],
  ['less', '9', 1],
  ['exactly what it got', '6', 0],
])('a content-length that promises %s', async (_what, length, malformed) => {
  const peer = await start();
  peer.request(1, '/t/Echo', Buffer.from('x'), { 'content-length': length });
  if (malformed === 0) await peer.ended(1);
  else expect(await peer.reset(1)).toBe('PROTOCOL_ERROR');
  expect(served!.server.connectionProbe.malformedCalls).toBe(malformed);
});

test('calls over the limit of a connection are refused, and room comes back', async () => {
  const peer = await start({ callsPerConnectionMax: 2 });
  peer.request(1, '/t/Never', Buffer.from('x'));
  peer.request(3, '/t/Never', Buffer.from('x'));
  peer.request(5, '/t/Echo', Buffer.from('x'));
  expect(await peer.reset(5)).toBe('REFUSED_STREAM');
  peer.send(rawFrame(RST_STREAM, 0, 1, uint32(8)));
  peer.request(7, '/t/Echo', Buffer.from('x'));
  await peer.ended(7);
  expect(served!.server.connectionProbe).toMatchObject({ refusedCalls: 1, resetsReceived: 1 });
});

test('a client that begins and takes back calls without end is cut off', async () => {
  const peer = await start();
  let id = -1;
  while (!peer.closed && id < 60_000) {
    const frames: Buffer[] = [];
    for (let i = 0; i < 500; i++) {
      id += 2;
      frames.push(
        rawFrame(HEADERS, END_HEADERS, id, requestBlock('/t/Never')),
        rawFrame(RST_STREAM, 0, id, uint32(8)),
      );
    }
    peer.send(...frames);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await peer.goAway()).toBe('ENHANCE_YOUR_CALM');
  expect(served!.server.connectionProbe.floods).toBe(1);
  await expectAlive();
});

test('frames of types that nobody knows, padding and priorities are passed over', async () => {
  const peer = await start();
  const padded = Buffer.concat([Buffer.from([7, 0, 0, 0, 9, 1]), ECHO, Buffer.alloc(7)]);
  const message = grpcMessage('hello');
  peer.send(
    rawFrame(200, 0xff, 0, Buffer.alloc(5_000)),
    rawFrame(2, 0, 9, Buffer.alloc(5)),
    rawFrame(HEADERS, END_HEADERS | PADDED | PRIORITY_FLAG, 1, padded),
    rawFrame(
      DATA,
      PADDED,
      1,
      Buffer.concat([Buffer.from([3]), message.subarray(0, 2), Buffer.alloc(3)]),
    ),
    rawFrame(201, 0, 1, Buffer.alloc(3)),
    rawFrame(DATA, PADDED, 1, Buffer.from([0])),
    rawFrame(
      DATA,
      END_STREAM | PADDED,
      1,
      Buffer.concat([Buffer.from([1]), message.subarray(2), Buffer.alloc(1)]),
    ),
  );
  await peer.ended(1);
  expect(peer.data(1)).toEqual(message);
});

test('header fields may come in pieces, and a call may end with trailers', async () => {
  const peer = await start();
  peer.send(
    rawFrame(HEADERS, 0, 1, ECHO.subarray(0, 3)),
    rawFrame(CONTINUATION, 0, 1, ECHO.subarray(3, 20)),
    rawFrame(CONTINUATION, END_HEADERS, 1, ECHO.subarray(20)),
    rawFrame(DATA, 0, 1, grpcMessage('x')),
    rawFrame(HEADERS, END_HEADERS | END_STREAM, 1, literalField('x-checksum', '1')),
  );
  await peer.ended(1);
  expect(peer.data(1)).toEqual(grpcMessage('x'));
});

test('PING is answered with its own bytes, SETTINGS with an acknowledgement', async () => {
  const peer = await start();
  peer.send(rawFrame(PING, 0, 0, Buffer.from('12345678')));
  const { payload } = await peer.frame('PING', ({ type, flags }) => type === PING && flags === ACK);
  expect(payload.toString()).toBe('12345678');
  await peer.frame('ACK', ({ type, flags }) => type === SETTINGS && flags === ACK);
});
