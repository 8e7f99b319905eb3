import { setMaxListeners } from 'node:events';
import { afterEach, expect, test } from '@jest/globals';
import { failureOf } from '../testing/failure-of.js';
import { Opened, rawCall } from '../testing/raw-channel.js';
import { ANSWER_START } from './answer-blocks.js';
import { goAwayFrame } from './control-frames.js';
import { frameFlag, frameType, setting, STREAM_ID_MAX } from './protocol.js';
import { settingsFrame } from './settings.js';
import { grpcMessage, rawFrame, type RawPeer, uint32 } from './testing/raw-peer.js';
import { answerFrames, callIds, headers, requested, settle } from './testing/raw-server.js';

const { DATA, SETTINGS, WINDOW_UPDATE, RST_STREAM } = frameType;
const { ACK } = frameFlag;
const NOTHING = Buffer.alloc(0);

const opened = new Opened();

afterEach(() => opened.close());

test('a server that resets all calls, more than any client would, keeps its connection', async () => {
  const { server, channel } = await opened.rawPair();
  let refused = 0;
  let first: RawPeer | null = null;
  for (let round = 0; round < 11; round++) {
    const failures = Array.from({ length: 1_000 }, () => failureOf(rawCall(channel)));
    first ??= await server.peer(0);
    const from = 2_000 * round + 1;
    await requested(first, from + 1_998);
    first.send(...failures.map((_, i) => rawFrame(RST_STREAM, 0, from + 2 * i, uint32(7))));
    for (const { neverBegun } of await Promise.all(failures)) if (neverBegun) refused++;
  }
  expect(refused).toBe(11_000);
  expect(server.peers.length).toBe(1);
});

test('many calls that are given up at once may be answered late', async () => {
  const { server, channel } = await opened.rawPair();
  const abort = new AbortController();
  setMaxListeners(0, abort.signal);
  const failures = Array.from({ length: 1_000 }, () =>
    failureOf(channel.unary('/t/Echo', NOTHING, { deadlineMs: null, signal: abort.signal })),
  );
  const peer = await server.peer(0);
  await requested(peer, 1_999);
  abort.abort();
  for (const { status } of await Promise.all(failures)) expect(status).toBe('CANCELLED');
  expect(await peer.reset(1_999)).toBe('CANCEL');
  const resets = (): number => peer.frames.filter(({ type }) => type === RST_STREAM).length;
  expect(resets()).toBe(1_000);
  peer.send(...failures.map((_, i) => answerFrames(2 * i + 1, 'late')));
  const next = rawCall(channel);
  await requested(peer, 2_001);
  peer.send(answerFrames(2_001, 'well'));
  expect((await next).toString()).toBe('well');
  expect(resets()).toBe(1_000);
});

test('calls begin in the order of their ids, and no more than the server allows', async () => {
  const { server, channel } = await opened.rawPair(
    settingsFrame([[setting.MAX_CONCURRENT_STREAMS, 2]]),
  );
  const answers = [rawCall(channel), rawCall(channel), rawCall(channel)];
  const peer = await server.peer(0);
  await requested(peer, 3);
  await settle(peer);
  expect(callIds(peer)).toEqual([1, 3]);
  // The fourth is begun in the very turn in which room for it and for the third comes.
  let fourth: Promise<Buffer> | null = null;
  const sent = new Promise<void>((resolve) =>
    setImmediate(() => {
      peer.send(settingsFrame([[setting.MAX_CONCURRENT_STREAMS, 10]]));
      fourth = rawCall(channel);
      resolve();
    }),
  );
  await sent;
  await requested(peer, 7);
  await settle(peer);
  expect(callIds(peer)).toEqual([1, 3, 5, 7]);
  peer.send(...[1, 3, 5, 7].map((id) => answerFrames(id, String(id))));
  const bodies = await Promise.all([...answers, fourth!]);
  expect(bodies.map(String)).toEqual(['1', '3', '5', '7']);
});

test('a call that waits for its turn takes one place, however often it has something to send', async () => {
  const { server, channel } = await opened.rawPair(
    settingsFrame([[setting.MAX_CONCURRENT_STREAMS, 2]]),
  );
  const first = [rawCall(channel), rawCall(channel)];
  const stream = channel.bidi('/t/Talk', { deadlineMs: null });
  const ends: (Error | null)[] = [];
  stream.listen({ message: () => undefined, closed: (failure) => ends.push(failure) });
  const peer = await server.peer(0);
  await requested(peer, 3);
  for (let i = 0; i < 5; i++) {
    stream.write(Buffer.from('again'));
    peer.send(settingsFrame([[setting.INITIAL_WINDOW_SIZE, 70_000 + i]]));
    await settle(peer);
  }
  expect(callIds(peer)).toEqual([1, 3]);
  peer.send(answerFrames(1, 'one'), answerFrames(3, 'two'));
  await Promise.all(first);
  await requested(peer, 5);
  stream.end();
  await peer.ended(5);
  const said = Array.from({ length: 5 }, () => grpcMessage('again'));
  expect(peer.data(5)).toEqual(Buffer.concat(said));
  peer.send(answerFrames(5, 'three'));
  const next = [rawCall(channel), rawCall(channel), rawCall(channel)];
  await requested(peer, 9);
  await settle(peer);
  expect(callIds(peer)).toEqual([1, 3, 5, 7, 9]);
  for (const id of [7, 9, 11]) {
    await requested(peer, id);
    peer.send(answerFrames(id, 'more'));
  }
  await Promise.all(next);
  expect(ends).toEqual([null]);
});

test('calls that are given up while they wait leave no trace', async () => {
  const { server, channel } = await opened.rawPair(
    settingsFrame([[setting.MAX_CONCURRENT_STREAMS, 0]]),
  );
  const abort = new AbortController();
  setMaxListeners(0, abort.signal);
  const failures = Array.from({ length: 50 }, () =>
    failureOf(channel.unary('/t/Echo', NOTHING, { deadlineMs: null, signal: abort.signal })),
  );
  const peer = await server.peer(0);
  await peer.frame('ACK', ({ type, flags }) => type === SETTINGS && flags === ACK);
  // Of these the server cannot know anything.
  abort.abort();
  await Promise.all(failures);
  const next = rawCall(channel);
  peer.send(settingsFrame([[setting.MAX_CONCURRENT_STREAMS, 1]]));
  await requested(peer, 101);
  expect(callIds(peer)).toEqual([101]);
  expect(peer.frames.some(({ type }) => type === RST_STREAM)).toBe(false);
  peer.send(answerFrames(101, 'well'));
  expect((await next).toString()).toBe('well');
});

test.each([
  ['HEADERS', headers(1, ANSWER_START)],
  ['DATA', rawFrame(DATA, 0, 1, grpcMessage('x'))],
])('%s for a call that waits are on an idle stream', async (_what, frame) => {
  const { server, channel } = await opened.rawPair(
    settingsFrame([[setting.MAX_CONCURRENT_STREAMS, 0]]),
  );
  const failure = failureOf(rawCall(channel));
  const peer = await server.peer(0);
  await peer.frame('ACK', ({ type, flags }) => type === SETTINGS && flags === ACK);
  peer.send(frame);
  expect(await failure).toMatchObject({ status: 'UNAVAILABLE', neverBegun: true });
  expect(await peer.goAway()).toBe('PROTOCOL_ERROR');
});

test('GOAWAY: calls behind the last stream never began, the others end, new ones go elsewhere', async () => {
  const { server, channel } = await opened.rawPair();
  const kept = rawCall(channel);
  const lost = failureOf(rawCall(channel));
  const peer = await server.peer(0);
  await requested(peer, 3);
  peer.send(goAwayFrame(1, 0, 'bye'));
  expect(await lost).toMatchObject({ status: 'UNAVAILABLE', neverBegun: true });
  const elsewhere = rawCall(channel);
  const second = await server.peer(1);
  await requested(second, 1);
  second.send(answerFrames(1, 'elsewhere'));
  expect((await elsewhere).toString()).toBe('elsewhere');
  expect(peer.closed).toBe(false);
  peer.send(answerFrames(1, 'kept'));
  expect((await kept).toString()).toBe('kept');
  await peer.until('the client hung up', () => peer.closed);
});

test('GOAWAY as a warning: calls that wait do not begin there, nor after it', async () => {
  const { server, channel } = await opened.rawPair(
    settingsFrame([[setting.MAX_CONCURRENT_STREAMS, 1]]),
  );
  const kept = rawCall(channel);
  const waits = failureOf(rawCall(channel));
  const peer = await server.peer(0);
  await requested(peer, 1);
  peer.send(goAwayFrame(STREAM_ID_MAX, 0, ''));
  expect(await waits).toMatchObject({ status: 'UNAVAILABLE', neverBegun: true });
  peer.send(goAwayFrame(1, 0, ''), settingsFrame([[setting.MAX_CONCURRENT_STREAMS, 9]]));
  await settle(peer);
  peer.send(answerFrames(1, 'kept'));
  expect((await kept).toString()).toBe('kept');
  await peer.until('the client hung up', () => peer.closed);
  expect(callIds(peer)).toEqual([1]);
});

test('a call whose deadline has passed does not leave', async () => {
  const { server, channel } = await opened.rawPair();
  const failure = failureOf(channel.unary('/t/Echo', NOTHING, { deadlineMs: Date.now() - 1 }));
  const next = rawCall(channel);
  expect(await failure).toMatchObject({ status: 'DEADLINE_EXCEEDED', neverBegun: true });
  const peer = await server.peer(0);
  await requested(peer, 3);
  expect(callIds(peer)).toEqual([3]);
  peer.send(answerFrames(3, 'well'));
  await next;
});

test('the server stops listening: the answer still comes, and nothing more is sent', async () => {
  const { server, channel } = await opened.rawPair();
  const heard: string[] = [];
  const stream = channel.bidi('/t/Talk', { deadlineMs: null });
  stream.listen({
    message: (message) => {
      heard.push(message.toString());
      stream.pause();
    },
    closed: (failure) => heard.push(failure?.message ?? 'ok'),
  });
  stream.write(Buffer.from('a'));
  const peer = await server.peer(0);
  await requested(peer, 1);
  peer.send(answerFrames(1, 'b'), rawFrame(RST_STREAM, 0, 1, uint32(0)));
  await settle(peer);
  expect([heard, stream.closed]).toEqual([['b'], true]);
  stream.write(Buffer.from('late'));
  await settle(peer);
  expect(peer.data(1)).toEqual(grpcMessage('a'));
  stream.resume();
  await peer.until('the end', () => heard.length === 2);
  expect(heard).toEqual(['b', 'ok']);
});

test('answers whose reader waits do not stop those of other calls', async () => {
  const { server, channel } = await opened.rawPair();
  const stream = channel.bidi('/t/Talk', { deadlineMs: null });
  let heard = 0;
  stream.listen({
    message: () => {
      heard++;
      stream.pause();
    },
    closed: () => undefined,
  });
  const peer = await server.peer(0);
  await requested(peer, 1);
  // All that this stream may have under way.
  const message = grpcMessage(Buffer.alloc(256 * 1024 - 5));
  peer.send(
    headers(1, ANSWER_START),
    ...Array.from({ length: 16 }, () => rawFrame(DATA, 0, 1, message)),
  );
  const other = rawCall(channel);
  await requested(peer, 3);
  const growth = peer.frames
    .filter(({ type, streamId }) => type === WINDOW_UPDATE && streamId === 0)
    .reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);
  expect(65_535 + growth - 16 * message.length).toBeGreaterThan(1024 * 1024);
  peer.send(answerFrames(3, 'well'));
  expect((await other).toString()).toBe('well');
  expect(heard).toBe(1);
  // And the one that waits may not have more.
  peer.send(rawFrame(DATA, 0, 1, Buffer.from('x')));
  expect(await peer.reset(1)).toBe('FLOW_CONTROL_ERROR');
  expect(stream.closed).toBe(true);
});
