import { afterEach, expect, test } from '@jest/globals';
import { failureOf } from '../testing/failure-of.js';
import { Opened, rawCall } from '../testing/raw-channel.js';
import { ANSWER_OK, ANSWER_START, failedAnswer, failedTrailers } from './answer-blocks.js';
import { indexedField, literalField } from './hpack-encoder.js';
import { IDLE_FRAMES_MAX } from './limits.js';
import { frameFlag, frameType, setting } from './protocol.js';
import { settingsFrame } from './settings.js';
import { grpcMessage, rawFrame, uint32 } from './testing/raw-peer.js';
import { answerFrames, headers, requested, settle } from './testing/raw-server.js';

const { HEADERS, DATA, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, RST_STREAM, CONTINUATION } =
  frameType;
const { END_HEADERS, END_STREAM, PADDED, ACK } = frameFlag;
const NOTHING = Buffer.alloc(0);

const opened = new Opened();

afterEach(() => opened.close());

test.each<[string, () => Buffer[], string]>([
  ['DATA on stream 0', () => [rawFrame(DATA, 0, 0, NOTHING)], 'PROTOCOL_ERROR'],
  ['DATA on an idle stream', () => [rawFrame(DATA, 0, 7, NOTHING)], 'PROTOCOL_ERROR'],
  ['HEADERS on an idle stream', () => [headers(7, ANSWER_START)], 'PROTOCOL_ERROR'],
  ['HEADERS on an even stream', () => [headers(2, ANSWER_START)], 'PROTOCOL_ERROR'],
  ['RST_STREAM on an idle stream', () => [rawFrame(RST_STREAM, 0, 5, uint32(8))], 'PROTOCOL_ERROR'],
  ['PUSH_PROMISE', () => [rawFrame(5, END_HEADERS, 1, Buffer.alloc(8))], 'PROTOCOL_ERROR'],
  ['ENABLE_PUSH', () => [settingsFrame([[setting.ENABLE_PUSH, 1]])], 'PROTOCOL_ERROR'],
  ['a wrong frame size', () => [rawFrame(PING, 0, 0, Buffer.alloc(7))], 'FRAME_SIZE_ERROR'],
  ['a GOAWAY that is cut off', () => [rawFrame(GOAWAY, 0, 0, Buffer.alloc(7))], 'FRAME_SIZE_ERROR'],
  [
    'a header block that cannot be decoded',
    () => [headers(1, Buffer.from([0x80]))],
    'COMPRESSION_ERROR',
  ],
  [
    'a header block that is interrupted',
    () => [rawFrame(HEADERS, 0, 1, ANSWER_START), rawFrame(PING, 0, 0, Buffer.alloc(8))],
    'PROTOCOL_ERROR',
  ],
  [
    'a header block without end',
    () => [
      rawFrame(HEADERS, 0, 1, ANSWER_START),
      ...Array.from({ length: 30 }, () => rawFrame(CONTINUATION, 0, 1, NOTHING)),
    ],
    'ENHANCE_YOUR_CALM',
  ],
  [
    'a window over 2^31 - 1',
    () => [rawFrame(WINDOW_UPDATE, 0, 0, uint32(2 ** 31 - 1))],
    'FLOW_CONTROL_ERROR',
  ],
  [
    'a flood of PINGs',
    () => Array.from({ length: IDLE_FRAMES_MAX + 1 }, () => rawFrame(PING, 0, 0, Buffer.alloc(8))),
    'ENHANCE_YOUR_CALM',
  ],
])(
  '%s ends the connection and its calls; the next call has a new one',
  async (_what, frames, code) => {
    const { server, channel } = await opened.rawPair();
    const failures = [failureOf(rawCall(channel)), failureOf(rawCall(channel))];
    const peer = await server.peer(0);
    await requested(peer, 3);
    peer.send(...frames());
    for (const failure of await Promise.all(failures)) {
      expect(failure).toMatchObject({ status: 'UNAVAILABLE', neverBegun: false });
      expect(failure.message).toMatch(
        `the connection broke to ${server.address}: it broke a rule of HTTP/2, `,
      );
    }
    expect(await peer.goAway()).toBe(code);
    server.welcome = (next) =>
      void requested(next, 1).then(() => next.send(answerFrames(1, 'well')));
    expect((await rawCall(channel)).toString()).toBe('well');
  },
);

test.each<[string, Buffer]>([
  ['HTTP/1.1', Buffer.from('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')],
  ['another frame than SETTINGS', rawFrame(PING, 0, 0, Buffer.alloc(8))],
  ['an acknowledgement', rawFrame(SETTINGS, ACK, 0, NOTHING)],
  ['TLS', Buffer.from([0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46, 0, 0, 0, 0, 0])],
])('a server that begins with %s is none', async (_what, greeting) => {
  const { channel, server } = await opened.rawPair(greeting);
  const first = await failureOf(rawCall(channel));
  expect(first).toMatchObject({ status: 'UNAVAILABLE', neverBegun: true });
  expect(first.message).toMatch(`cannot connect to ${server.address}: it does not speak HTTP/2`);
  // Until it is time for another attempt, with the same reason, and without one.
  expect(await failureOf(rawCall(channel))).toMatchObject({
    message: first.message,
    neverBegun: true,
  });
  expect(server.peers.length).toBe(1);
});

test('a server that hangs up at once is none either', async () => {
  const { server, channel } = await opened.rawPair(NOTHING);
  server.welcome = (peer) => peer.socket.end();
  expect(await failureOf(rawCall(channel))).toMatchObject({
    status: 'UNAVAILABLE',
    neverBegun: true,
    message: `cannot connect to ${server.address}: it hung up; check the port, and whether TLS is used there`,
  });
});

const promised = (length: string): Buffer =>
  headers(1, Buffer.concat([ANSWER_START, literalField('content-length', length)]));

const ok = (body = 'x'): Buffer[] => [
  headers(1, ANSWER_START),
  rawFrame(DATA, 0, 1, grpcMessage(body)),
  headers(1, ANSWER_OK, true),
];

test.each<[string, Buffer[], string, string]>([
  ['DATA before HEADERS', [rawFrame(DATA, 0, 1, grpcMessage('x'))], 'INTERNAL', 'PROTOCOL_ERROR'],
  [
    'a WINDOW_UPDATE of nothing',
    [rawFrame(WINDOW_UPDATE, 0, 1, uint32(0))],
    'INTERNAL',
    'PROTOCOL_ERROR',
  ],
  [
    'headers in the middle',
    [headers(1, ANSWER_START), headers(1, ANSWER_START)],
    'INTERNAL',
    'CANCEL',
  ],
  ['no status of HTTP', [headers(1, literalField(31, 'application/grpc'))], 'INTERNAL', 'CANCEL'],
  [
    'two of them',
    [headers(1, Buffer.concat([indexedField(8), ANSWER_START]))],
    'INTERNAL',
    'CANCEL',
  ],
  [
    'its status behind other fields',
    [headers(1, Buffer.concat([literalField(31, 'application/grpc'), indexedField(8)]))],
    'INTERNAL',
    'CANCEL',
  ],
  [
    'a status of HTTP in its trailers',
    [...ok().slice(0, 2), headers(1, Buffer.concat([indexedField(8), ANSWER_OK]), true)],
    'INTERNAL',
    'CANCEL',
  ],
  ['a status of HTTP that is none', [headers(1, literalField(8, '2x0'))], 'INTERNAL', 'CANCEL'],
  ['a path', [headers(1, Buffer.concat([ANSWER_START, indexedField(4)]))], 'INTERNAL', 'CANCEL'],
  [
    'a field that HTTP/2 forbids',
    [headers(1, Buffer.concat([ANSWER_START, literalField('connection', 'close')]))],
    'INTERNAL',
    'CANCEL',
  ],
  [
    'header fields of 20 KiB',
    [headers(1, Buffer.concat([ANSWER_START, literalField('x', 'y'.repeat(20_000))]))],
    'RESOURCE_EXHAUSTED',
    'CANCEL',
  ],
  [
    'an encoding that nobody knows',
    [headers(1, Buffer.concat([ANSWER_START, literalField('grpc-encoding', 'br')]))],
    'INTERNAL',
    'CANCEL',
  ],
  [
    'a packed message of no encoding',
    [ok()[0]!, rawFrame(DATA, 0, 1, grpcMessage('x', 1))],
    'INTERNAL',
    'CANCEL',
  ],
  ['less than its content-length', [promised('7'), ...ok().slice(1)], 'INTERNAL', 'PROTOCOL_ERROR'],
  ['more than its content-length', [promised('5'), ok()[1]!], 'INTERNAL', 'PROTOCOL_ERROR'],
  ['a content-length that is no number', [promised('-6')], 'INTERNAL', 'CANCEL'],
  ['two answers', [...ok().slice(0, 2), ...ok().slice(1)], 'INTERNAL', 'CANCEL'],
  ['HTTP 503', [headers(1, literalField(8, '503'))], 'UNAVAILABLE', 'CANCEL'],
  ['HTTP 404', [headers(1, literalField(8, '404'))], 'UNIMPLEMENTED', 'CANCEL'],
  [
    'HTTP that is not gRPC',
    [headers(1, Buffer.concat([indexedField(8), literalField(31, 'text/html')]))],
    'UNKNOWN',
    'CANCEL',
  ],
  [
    'gRPC-Web',
    [headers(1, Buffer.concat([indexedField(8), literalField(31, 'application/grpc-web')]))],
    'UNKNOWN',
    'CANCEL',
  ],
])('%s fails the call alone, and its stream is reset', async (_what, frames, status, code) => {
  const { server, channel } = await opened.rawPair();
  // Written by a listener of its own, so that the stream is open at this end too.
  const ends: (Error | null)[] = [];
  const stream = channel.bidi('/t/Talk', { deadlineMs: null });
  let messages = 0;
  stream.listen({
    message: () => {
      if (++messages > 1)
        throw Object.assign(new Error('two'), { name: 'RpcError', status: 'INTERNAL' });
    },
    closed: (failure) => ends.push(failure),
  });
  const peer = await server.peer(0);
  await requested(peer, 1);
  peer.send(...frames);
  expect(await peer.reset(1)).toBe(code);
  expect(ends).toEqual([expect.objectContaining({ name: 'RpcError', status })]);
  expect(stream.closed).toBe(true);
  const next = rawCall(channel);
  await requested(peer, 3);
  // What was under way for the failed one changes nothing.
  peer.send(
    rawFrame(DATA, 0, 1, grpcMessage('late')),
    headers(1, ANSWER_OK, true),
    answerFrames(3, 'well'),
  );
  expect((await next).toString()).toBe('well');
  expect(server.peers.length).toBe(1);
});

test.each<[string, Buffer[], string, string]>([
  [
    'nothing but a status',
    [headers(1, failedAnswer(5, 'not here'), true)],
    'NOT_FOUND',
    'not here',
  ],
  [
    'an HTTP failure with a status of gRPC',
    [headers(1, Buffer.concat([literalField(8, '503'), literalField('grpc-status', '8')]), true)],
    'RESOURCE_EXHAUSTED',
    '',
  ],
  [
    'a status behind a message',
    [...ok().slice(0, 2), headers(1, failedTrailers(10, '100 % größer'), true)],
    'ABORTED',
    '100 % größer',
  ],
  [
    'a status that is no number',
    [ok()[0]!, headers(1, literalField('grpc-status', '-3'), true)],
    'UNKNOWN',
    '',
  ],
  [
    'no status',
    [...ok().slice(0, 2), headers(1, literalField('x', 'y'), true)],
    'INTERNAL',
    'the answer ended without a status',
  ],
  [
    'DATA at the end',
    [ok()[0]!, rawFrame(DATA, END_STREAM, 1, grpcMessage('x'))],
    'INTERNAL',
    'the answer ended without a status',
  ],
  ['no message', [ok()[0]!, ok()[2]!], 'INTERNAL', '/t/Echo ended without its answer'],
  [
    'half a message',
    [ok()[0]!, rawFrame(DATA, 0, 1, grpcMessage('xyz').subarray(0, 6)), ok()[2]!],
    'INTERNAL',
    'the stream ended in the middle of a message',
  ],
])('an answer of %s', async (_what, frames, status, message) => {
  const { server, channel } = await opened.rawPair();
  const failure = failureOf(rawCall(channel));
  const peer = await server.peer(0);
  await requested(peer, 1);
  peer.send(...frames);
  expect(await failure).toMatchObject({ status, message, neverBegun: false });
  await settle(peer);
  // It had ended at both sides.
  expect(peer.frames.some(({ type }) => type === RST_STREAM)).toBe(false);
});

test('padding, priorities, unknown frames, 1xx and pieces of header blocks are all right', async () => {
  const { server, channel } = await opened.rawPair();
  const answer = rawCall(channel);
  const peer = await server.peer(0);
  await requested(peer, 1);
  const message = grpcMessage('hello');
  peer.send(
    rawFrame(200, 0xff, 0, Buffer.alloc(500)),
    headers(1, literalField(8, '103')),
    rawFrame(2, 0, 1, Buffer.alloc(5)),
    rawFrame(HEADERS, 0, 1, ANSWER_START.subarray(0, 5)),
    rawFrame(
      CONTINUATION,
      END_HEADERS,
      1,
      Buffer.concat([ANSWER_START.subarray(5), literalField('content-length', '10')]),
    ),
    rawFrame(
      DATA,
      PADDED,
      1,
      Buffer.concat([Buffer.from([2]), message.subarray(0, 3), Buffer.alloc(2)]),
    ),
    rawFrame(201, 0, 1, Buffer.alloc(3)),
    rawFrame(DATA, 0, 1, message.subarray(3)),
    headers(1, ANSWER_OK, true),
  );
  expect((await answer).toString()).toBe('hello');
});

test.each([
  [7, 'UNAVAILABLE', true, 'refused the call'],
  [8, 'CANCELLED', false, 'reset the call (CANCEL)'],
  [11, 'RESOURCE_EXHAUSTED', false, 'reset the call (ENHANCE_YOUR_CALM)'],
  [12, 'PERMISSION_DENIED', false, 'reset the call (INADEQUATE_SECURITY)'],
  [0, 'INTERNAL', false, 'reset the call (NO_ERROR)'],
  [99, 'INTERNAL', false, 'reset the call (99)'],
])('a reset with code %i is %s', async (code, status, neverBegun, how) => {
  const { server, channel } = await opened.rawPair();
  const failure = failureOf(rawCall(channel));
  const peer = await server.peer(0);
  await requested(peer, 1);
  peer.send(rawFrame(RST_STREAM, 0, 1, uint32(code)));
  expect(await failure).toMatchObject({ status, neverBegun, message: `${server.address} ${how}` });
});
