import { getEventListeners } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { type StreamListener } from './call.js';
import type { RpcChannel } from './channel.js';
import { channelHost } from './channel-host.js';
import { type Connection } from './http2/connection.js';
import { frameType, setting } from './http2/protocol.js';
import { settingsFrame } from './http2/settings.js';
import { answerFrames, RawServer, requested } from './http2/testing/raw-server.js';
import { type RpcError } from './status.js';
import { failureOf } from './testing/failure-of.js';
import { Opened } from './testing/raw-channel.js';

const opened = new Opened();

afterEach(() => opened.close());

const NOTHING = Buffer.alloc(0);
const open = { deadlineMs: null };

async function until(what: string, holds: () => boolean): Promise<void> {
  const endsAt = Date.now() + 5_000;
  while (!holds()) {
    if (Date.now() > endsAt) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Answers the first call of each connection. */
function answering(server: RawServer): void {
  server.welcome = (peer) =>
    void requested(peer, 1).then(
      () => peer.send(answerFrames(1, 'well')),
      () => undefined,
    );
}

/** A port that nobody listens on. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('after a failed attempt', () => {
  afterEach(() => {
    jest.restoreAllMocks();
  });

  test('calls fail at once with its reason, until it is time for the next; pauses grow', async () => {
    let nowMs = 1_000_000;
    jest.spyOn(performance, 'now').mockImplementation(() => nowMs);
    jest.spyOn(Math, 'random').mockReturnValue(0.5);
    const dialled = jest.spyOn(channelHost, 'joined');
    const port = await freePort();
    const channel = opened.channelTo(`127.0.0.1:${port}`, {
      reconnectMinMs: 100,
      reconnectMaxMs: 300,
    });
    const ask = (): Promise<RpcError> => failureOf(channel.unary('/t/Echo', NOTHING, open));
    const reason = `cannot connect to 127.0.0.1:${port}: connect ECONNREFUSED 127.0.0.1:${port}`;
    for (const pauseMs of [100, 160, 256, 300, 300]) {
      expect(await ask()).toMatchObject({ message: reason, neverBegun: true });
      nowMs += pauseMs - 1;
      const attempts = dialled.mock.calls.length;
      expect(await ask()).toMatchObject({ message: reason, neverBegun: true });
      expect(dialled.mock.calls.length).toBe(attempts);
      nowMs += 1;
    }
    expect(dialled.mock.calls.length).toBe(5);
    // It is there at last: the next call finds it, and breaks start from the smallest pause again.
    const raw = await RawServer.start('127.0.0.1', port);
    opened.add(() => raw.close());
    answering(raw);
    expect((await channel.unary('/t/Echo', NOTHING, open)).toString()).toBe('well');
    raw.peers[0]!.socket.destroy();
    await raw.peers[0]!.until('its end', () => raw.peers[0]!.closed);
    expect(await again(channel)).toBe('well');
    expect(raw.peers.length).toBe(2);
  });

  /** A call that is repeated until the channel has seen that its connection broke. */
  async function again(channel: RpcChannel): Promise<string> {
    for (;;) {
      try {
        return (await channel.unary('/t/Echo', NOTHING, open)).toString();
      } catch (error) {
        expect(error).toMatchObject({ status: 'UNAVAILABLE' });
      }
    }
  }
});

test('a signal is followed as long as the call lasts, and no longer', async () => {
  const raw = await opened.rawServer();
  const channel = opened.channelTo(raw.address);
  const { signal } = new AbortController();
  const listeners = (): number => getEventListeners(signal, 'abort').length;
  const answered = channel.unary('/t/Echo', NOTHING, { ...open, signal });
  const late = channel.unary('/t/Echo', NOTHING, { deadlineMs: Date.now() + 20, signal });
  const lost = failureOf(channel.unary('/t/Echo', NOTHING, { ...open, signal }));
  expect(listeners()).toBe(3);
  expect((await failureOf(late)).status).toBe('DEADLINE_EXCEEDED');
  expect(listeners()).toBe(2);
  const peer = await raw.peer(0);
  await requested(peer, 5);
  peer.send(answerFrames(1, 'one'));
  await answered;
  expect(listeners()).toBe(1);
  peer.socket.destroy();
  expect((await lost).status).toBe('UNAVAILABLE');
  expect(listeners()).toBe(0);
});

describe('closing a channel', () => {
  test('while it connects, with and without calls', async () => {
    const raw = await opened.rawServer();
    raw.greeting = NOTHING;
    const abort = new AbortController();
    const idle = opened.channelTo(raw.address);
    const given = failureOf(idle.unary('/t/Echo', NOTHING, { ...open, signal: abort.signal }));
    abort.abort();
    expect(await given).toMatchObject({ status: 'CANCELLED', neverBegun: false });
    idle.close();
    const busy = opened.channelTo(raw.address);
    const call = busy.unary('/t/Echo', NOTHING, open);
    busy.close();
    expect(await failureOf(busy.unary('/t/Echo', NOTHING, open))).toMatchObject({
      status: 'CANCELLED',
      message: 'the channel is closed',
      neverBegun: true,
    });
    await until('a connection', () => raw.peers.some((peer) => !peer.closed));
    await until('the other one gone', () => raw.peers.filter(({ closed }) => !closed).length === 1);
    const peer = raw.peers.find(({ closed }) => !closed)!;
    peer.send(settingsFrame([]));
    await requested(peer, 1);
    peer.send(answerFrames(1, 'last'));
    expect((await call).toString()).toBe('last');
    await peer.until('the end', () => peer.closed);
  });

  test('twice, and within the end of a call', async () => {
    const raw = await opened.rawServer();
    answering(raw);
    const channel = opened.channelTo(raw.address);
    const ends: unknown[] = [];
    const stream = channel.bidi('/t/Talk', open);
    stream.listen({
      message: () => undefined,
      closed(failure) {
        ends.push(failure);
        channel.close();
        channel.close();
      },
    });
    await until('the end', () => ends.length === 1);
    expect(ends).toEqual([null]);
    const peer = raw.peers[0]!;
    await peer.until('the end', () => peer.closed);
  });
});

function handles(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
}

test('a channel without calls keeps no process alive, one with calls does', async () => {
  const raw = await opened.rawServer();
  raw.welcome = ({ socket }) => socket.unref();
  const before = handles();
  const channel = opened.channelTo(raw.address);
  const first = channel.unary('/t/Echo', NOTHING, open);
  expect(handles()).toBe(before + 1);
  const peer = await raw.peer(0);
  await requested(peer, 1);
  expect(handles()).toBe(before + 1);
  peer.send(answerFrames(1, 'one'));
  await first;
  expect(handles()).toBe(before);
  const second = channel.unary('/t/Echo', NOTHING, open);
  expect(handles()).toBe(before + 1);
  await requested(peer, 3);
  peer.send(answerFrames(3, 'two'));
  await second;
  expect(handles()).toBe(before);
});

describe('listeners', () => {
  const silent: StreamListener<Buffer> = { message: () => undefined, closed: () => undefined };

  test('that fail when their call ends harm no other call', async () => {
    const warning = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    opened.add(() => warning.mockRestore());
    const raw = await opened.rawServer();
    const channel = opened.channelTo(raw.address);
    const ends: string[] = [];
    for (const name of ['a', 'b', 'c']) {
      channel.bidi('/t/Talk', { deadlineMs: Date.now() + 40 }).listen({
        ...silent,
        closed(failure) {
          ends.push(`${name} ${(failure as RpcError).status}`);
          throw new Error(`the listener ${name} failed`);
        },
      });
    }
    const kept = channel.unary('/t/Echo', NOTHING, open);
    const peer = await raw.peer(0);
    await requested(peer, 7);
    await until('all ends', () => ends.length === 3);
    expect(ends).toEqual(['a', 'b', 'c'].map((name) => `${name} DEADLINE_EXCEEDED`));
    peer.send(answerFrames(7, 'well'));
    expect((await kept).toString()).toBe('well');
    expect(warning.mock.calls.map(([text]) => text)).toEqual(
      ['a', 'b', 'c'].map(
        (name) =>
          `a call to ${raw.address} met a failure of this program: the listener ${name} failed`,
      ),
    );
    // The clock goes on too.
    const late = channel.unary('/t/Echo', NOTHING, { deadlineMs: Date.now() + 10 });
    expect(await failureOf(late)).toMatchObject({ status: 'DEADLINE_EXCEEDED' });
  });

  test('may begin calls when theirs ends, and those keep their deadlines', async () => {
    const raw = await opened.rawServer();
    const channel = opened.channelTo(raw.address);
    const ends: string[] = [];
    const begin = (rest: number): void =>
      channel.bidi('/t/Talk', { deadlineMs: Date.now() + 20 }).listen({
        ...silent,
        closed(failure) {
          ends.push((failure as RpcError).status);
          if (rest > 0) begin(rest - 1);
        },
      });
    begin(3);
    await until('four ends', () => ends.length === 4);
    expect(new Set(ends)).toEqual(new Set(['DEADLINE_EXCEEDED']));
  });

  test('may give up other calls, begin some, and close the channel, within messages and ends', async () => {
    const raw = await opened.rawServer();
    raw.greeting = settingsFrame([[setting.MAX_CONCURRENT_STREAMS, 2]]);
    const channel = opened.channelTo(raw.address);
    const ends: string[] = [];
    const end =
      (name: string) =>
      (failure: Error | null): void =>
        void ends.push(`${name} ${failure === null ? 'ok' : failure.message}`);
    const first = channel.bidi('/t/Talk', open);
    const second = channel.bidi('/t/Talk', open);
    const third = channel.bidi('/t/Talk', open);
    second.listen({ ...silent, closed: end('second') });
    third.listen({ ...silent, closed: end('third') });
    first.listen({
      message() {
        second.fail(new Error('given up'));
        channel.bidi('/t/Talk', open).listen({
          ...silent,
          closed(failure) {
            end('fourth')(failure);
            third.fail(new Error('the same'));
            channel.close();
          },
        });
        first.fail(new Error('enough'));
      },
      closed: end('first'),
    });
    const peer = await raw.peer(0);
    await requested(peer, 3);
    peer.send(answerFrames(1, 'x'));
    await requested(peer, 7);
    expect(ends).toEqual(['second given up', 'first enough']);
    peer.send(answerFrames(7, 'x'));
    await peer.until('the end', () => peer.closed);
    expect(ends.slice(2)).toEqual(['fourth ok', 'third the same']);
    const last = peer.frames.findLast(({ type }) => type === frameType.GOAWAY);
    expect(last).toBeDefined();
  });

  test('that come when the call is over hear of it, and not within their own call', async () => {
    const raw = await opened.rawServer();
    const channel = opened.channelTo(raw.address);
    const abort = new AbortController();
    abort.abort();
    const stream = channel.bidi('/t/Talk', { ...open, signal: abort.signal });
    expect(stream.closed).toBe(true);
    const ends: (Error | null)[] = [];
    stream.listen({ ...silent, closed: (failure) => ends.push(failure) });
    expect(ends).toEqual([]);
    await until('the end', () => ends.length === 1);
    expect(ends).toEqual([expect.objectContaining({ status: 'CANCELLED' })]);
  });
});

describe('as time passes', () => {
  /** Connections of channels made from now on; their owner says what time it is. */
  function connections(): Connection[] {
    const made: Connection[] = [];
    const joined = jest.spyOn(channelHost, 'joined');
    joined.mockImplementation((connection) => void made.push(connection));
    opened.add(() => joined.mockRestore());
    return made;
  }

  const inMs = (ms: number): number => performance.now() + ms;

  test('a server that gives no sign of life is given up, with its calls', async () => {
    const made = connections();
    const raw = await opened.rawServer();
    const channel = opened.channelTo(raw.address);
    const call = failureOf(channel.unary('/t/Echo', NOTHING, open));
    const peer = await raw.peer(0);
    await requested(peer, 1);
    const [connection] = made;
    connection!.tick(inMs(0), 0);
    connection!.tick(inMs(61_000), 0);
    await peer.frame('PING', ({ type }) => type === frameType.PING);
    connection!.tick(inMs(82_000), 0);
    connection!.tick(inMs(83_000), 0);
    expect(await call).toMatchObject({
      status: 'UNAVAILABLE',
      neverBegun: false,
      message: `the connection broke to ${raw.address}: it gave no sign of life`,
    });
  });

  test('a server that is silent is asked while there are calls, and no other', async () => {
    const made = connections();
    const raw = await opened.rawServer();
    answering(raw);
    const channel = opened.channelTo(raw.address);
    await channel.unary('/t/Echo', NOTHING, open);
    const [connection] = made;
    connection!.tick(inMs(0), 0);
    connection!.tick(inMs(600_000), 0);
    const abort = new AbortController();
    const call = failureOf(channel.unary('/t/Echo', NOTHING, { ...open, signal: abort.signal }));
    const peer = raw.peers[0]!;
    await requested(peer, 3);
    const pings = (): number => peer.frames.filter(({ type }) => type === frameType.PING).length;
    expect(pings()).toBe(0);
    connection!.tick(inMs(601_000), 0);
    await peer.until('a PING', () => pings() === 1);
    abort.abort();
    await call;
  });

  test('a server that accepts and never speaks is a failed attempt', async () => {
    const made = connections();
    const raw = await opened.rawServer();
    raw.greeting = NOTHING;
    const call = failureOf(opened.channelTo(raw.address).unary('/t/Echo', NOTHING, open));
    await raw.peer(0);
    made[0]!.tick(inMs(21_000), 0);
    expect(await call).toMatchObject({
      status: 'UNAVAILABLE',
      neverBegun: true,
      message: `cannot connect to ${raw.address}: it gave no sign of life`,
    });
  });

  test('a server that does not let a connection go speaks to nobody in the end', async () => {
    const made = connections();
    const raw = await opened.rawServer();
    raw.welcome = ({ socket }) => (socket.allowHalfOpen = true);
    const channel = opened.channelTo(raw.address);
    const answer = channel.unary('/t/Echo', NOTHING, open);
    const peer = await raw.peer(0);
    await requested(peer, 1);
    peer.send(answerFrames(1, 'well'));
    await answer;
    channel.close();
    await peer.frame('GOAWAY', ({ type }) => type === frameType.GOAWAY);
    made[0]!.tick(inMs(0), 0);
    made[0]!.tick(inMs(2_000), 0);
    await until('its end', () => {
      if (!peer.socket.destroyed) peer.send(settingsFrame([]));
      return peer.closed;
    });
  });
});
