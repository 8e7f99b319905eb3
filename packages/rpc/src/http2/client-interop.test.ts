import {
  constants,
  createServer,
  type Http2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type Settings,
} from 'node:http2';
import { type AddressInfo } from 'node:net';
import { deflateSync, gzipSync } from 'node:zlib';
import {
  type handleBidiStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  Server,
  ServerCredentials,
  status,
} from '@grpc/grpc-js';
import { afterEach, expect, test } from '@jest/globals';
import { createPrng } from '@raftmq/base';
import { type RpcStream } from '../call.js';
import { type RpcChannel } from '../channel.js';
import { isRpcError } from '../status.js';
import { failureOf } from '../testing/failure-of.js';
import { Opened } from '../testing/raw-channel.js';
import { grpcMessage } from './testing/raw-peer.js';

const MIB = 1024 * 1024;
const opened = new Opened();

afterEach(() => opened.close());

const open = { deadlineMs: null };

function channelTo(port: number): RpcChannel {
  return opened.channelTo(`127.0.0.1:${port}`);
}

/** Everything that a stream says, and its end. */
async function told(stream: RpcStream<Buffer, Buffer>): Promise<string[]> {
  const heard: string[] = [];
  await new Promise<void>((resolve) =>
    stream.listen({
      message: (message) => heard.push(message.toString()),
      closed(failure) {
        heard.push(failure?.message ?? 'ok');
        resolve();
      },
    }),
  );
  return heard;
}

// ---- grpc-js -----------------------------------------------------------------------------------------------------

const same = (bytes: Buffer): Buffer => bytes;

function method(name: string, requestStream: boolean, responseStream: boolean) {
  return {
    path: `/t/${name}`,
    requestStream,
    responseStream,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}

const echo: handleUnaryCall<Buffer, Buffer> = (call, callback) => callback(null, call.request);
const never: handleUnaryCall<Buffer, Buffer> = () => undefined;
const fail: handleUnaryCall<Buffer, Buffer> = (_call, callback) =>
  callback({ code: status.ABORTED, details: '100 % größer\n☃' });
const count: handleServerStreamingCall<Buffer, Buffer> = (call) => {
  for (let i = 0; i < call.request.readUInt32BE(0); i++) call.write(Buffer.alloc(10_000, i));
  call.end();
};
const talk: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
  call.on('data', (bytes: Buffer) => {
    if (bytes.toString() === 'fail') call.emit('error', { code: status.NOT_FOUND, details: 'no' });
    else call.write(bytes);
  });
  call.on('end', () => call.end());
};

async function grpcServer(options: Record<string, unknown> = {}): Promise<number> {
  const server = new Server({
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
    ...options,
  });
  server.addService(
    {
      Echo: method('Echo', false, false),
      Never: method('Never', false, false),
      Fail: method('Fail', false, false),
      Headers: method('Headers', false, false),
      Count: method('Count', false, true),
      Talk: method('Talk', true, true),
    },
    {
      Echo: echo,
      Never: never,
      Fail: fail,
      Headers: ((call, callback) =>
        callback(null, Buffer.from(JSON.stringify(call.metadata.getMap())))) satisfies typeof echo,
      Count: count,
      Talk: talk,
    },
  );
  opened.add(() => server.forceShutdown());
  return new Promise((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    ),
  );
}

test('grpc-js answers calls of all kinds, large ones, and many at once', async () => {
  const channel = channelTo(await grpcServer());
  const sizes = [0, 1, 1024, 16_379, 16_384, 65_536, 4 * MIB, 4 * MIB + 1];
  const answers = await Promise.all(
    Array.from({ length: 64 }, (_, i) =>
      channel.unary('/t/Echo', Buffer.alloc(sizes[i % sizes.length]!, i), open),
    ),
  );
  answers.forEach((answer, i) => {
    expect(answer.equals(Buffer.alloc(sizes[i % sizes.length]!, i))).toBe(true);
  });
  const request = Buffer.alloc(4);
  request.writeUInt32BE(400);
  let seen = 0;
  for await (const message of channel.serverStream('/t/Count', request, open)) {
    expect([message.length, message[0]]).toEqual([10_000, seen % 256]);
    seen++;
  }
  expect(seen).toBe(400);
  const stream = channel.bidi('/t/Talk', open);
  for (const word of ['a', '', 'c']) stream.write(Buffer.from(word));
  stream.end();
  expect(await told(stream)).toEqual(['a', '', 'c', 'ok']);
});

test('grpc-js says how calls fail', async () => {
  const channel = channelTo(await grpcServer());
  expect(await failureOf(channel.unary('/t/Fail', Buffer.alloc(0), open))).toMatchObject({
    status: 'ABORTED',
    message: '100 % größer\n☃',
  });
  expect(await failureOf(channel.unary('/t/Nowhere', Buffer.alloc(0), open))).toMatchObject({
    status: 'UNIMPLEMENTED',
  });
  const late = channel.unary('/t/Never', Buffer.alloc(0), { deadlineMs: Date.now() + 30 });
  expect(await failureOf(late)).toMatchObject({ status: 'DEADLINE_EXCEEDED', neverBegun: false });
  const stream = channel.bidi('/t/Talk', open);
  stream.write(Buffer.from('first'));
  stream.write(Buffer.from('fail'));
  expect(await told(stream)).toEqual(['first', 'no']);
});

test('header fields arrive at grpc-js as they are, however often they come', async () => {
  const channel = channelTo(await grpcServer());
  const prng = createPrng(7541);
  const names = Array.from({ length: 40 }, (_, i) => `x-${i}`);
  for (let round = 0; round < 60; round++) {
    const headers: Record<string, string> = { authorization: 'secret' };
    for (let i = prng.integer(0, 20); i > 0; i--) {
      headers[prng.pick(names)] = prng.pick(['', 'a', '!~ ~!', 'v'.repeat(prng.integer(0, 300))]);
    }
    const answer = await channel.unary('/t/Headers', Buffer.alloc(0), { ...open, headers });
    const { 'user-agent': agent, ...seen } = JSON.parse(answer.toString()) as typeof headers;
    expect(agent).toBe('raftmq-node');
    expect(seen).toEqual(headers);
  }
});

test('blanks at the ends of a header value do not travel', async () => {
  const channel = channelTo(await grpcServer());
  const headers = { 'x-blanks': '  a b ' };
  const answer = await channel.unary('/t/Headers', Buffer.alloc(0), { ...open, headers });
  expect(JSON.parse(answer.toString())).toMatchObject({ 'x-blanks': 'a b' });
});

test('a server that asks clients to go every few milliseconds loses no call', async () => {
  const port = await grpcServer({
    'grpc.max_connection_age_ms': 60,
    'grpc.max_connection_age_grace_ms': 10_000,
  });
  const channel = channelTo(port);
  const endsAt = performance.now() + 600;
  let done = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() < endsAt) {
      try {
        const answer = await channel.unary('/t/Echo', Buffer.from(`call ${done}`), open);
        expect(answer.toString()).toMatch(/^call /);
        done++;
      } catch (error) {
        // It may have been under way; then we know that it did not begin.
        if (!isRpcError(error) || !error.neverBegun) throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: 20 }, worker));
  expect(done).toBeGreaterThan(0);
});

// ---- node:http2 --------------------------------------------------------------------------------------------------

interface NodeServer {
  readonly server: Http2Server;
  readonly channel: RpcChannel;
  readonly sessions: ServerHttp2Session[];
}

async function nodeServer(
  settings: Settings,
  answer: (stream: ServerHttp2Stream, request: Buffer, headers: Record<string, unknown>) => void,
): Promise<NodeServer> {
  const server = createServer({ settings });
  const sessions: ServerHttp2Session[] = [];
  server.on('session', (session) => {
    sessions.push(session);
    session.on('error', () => undefined);
  });
  server.on('stream', (stream, headers) => {
    const chunks: Buffer[] = [];
    stream.on('error', () => undefined);
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => answer(stream, Buffer.concat(chunks), headers));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  opened.add(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return { server, sessions, channel: channelTo((server.address() as AddressInfo).port) };
}

/** Sends an answer of gRPC. */
function respond(
  stream: ServerHttp2Stream,
  content: Buffer,
  headers: Record<string, string> = {},
): void {
  stream.respond(
    { ':status': 200, 'content-type': 'application/grpc+proto', ...headers },
    { waitForTrailers: true },
  );
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.end(content);
}

test.each<[string, Settings]>([
  ['as Node.js has them', {}],
  ['one call at once', { maxConcurrentStreams: 1 }],
  ['three calls at once', { maxConcurrentStreams: 3 }],
  ['a window of 100 bytes', { initialWindowSize: 100 }],
  ['no header table', { headerTableSize: 0 }],
  ['a small header table', { headerTableSize: 100 }],
  ['frames of 1 MiB', { maxFrameSize: MIB, initialWindowSize: 4 * MIB }],
])('settings: %s', async (_what, settings) => {
  let opened = 0;
  let openedMax = 0;
  const { channel, sessions } = await nodeServer(settings, (stream, request) => {
    openedMax = Math.max(openedMax, ++opened);
    setImmediate(() => {
      opened--;
      respond(stream, request);
    });
  });
  const bodies = Array.from({ length: 40 }, (_, i) => Buffer.alloc(i * i * 20, i));
  const answers = await Promise.all(
    bodies.map((body, i) =>
      channel.unary('/t/Echo', body, { ...open, headers: { 'x-number': String(i % 3) } }),
    ),
  );
  answers.forEach((answer, i) => expect(answer.equals(bodies[i]!)).toBe(true));
  expect(openedMax).toBeLessThanOrEqual(settings.maxConcurrentStreams ?? 40);
  expect(sessions.length).toBe(1);
});

test('a server may change its mind about the header table at any time', async () => {
  const { channel, sessions } = await nodeServer({}, (stream, _request, headers) =>
    respond(stream, grpcMessage(JSON.stringify([headers['x-a'], headers['x-b'], headers['x-c']]))),
  );
  const prng = createPrng(20);
  for (let round = 0; round < 60; round++) {
    const headers = {
      'x-a': 'always',
      'x-b': String(round % 4),
      'x-c': 'c'.repeat(prng.integer(0, 99)),
    };
    const ask = async (): Promise<void> => {
      const answer = await channel.unary('/t/Echo', Buffer.alloc(0), { ...open, headers });
      expect(JSON.parse(answer.toString())).toEqual(Object.values(headers));
    };
    await Promise.all([ask(), ask(), ask()]);
    const [session] = sessions;
    if (prng.chance(0.5))
      session!.settings({ headerTableSize: prng.pick([0, 60, 200, 4096, 65_536]) });
    if (prng.chance(0.2)) session!.settings({ headerTableSize: 0 });
    if (prng.chance(0.2)) session!.settings({ headerTableSize: 4096 });
  }
  expect(sessions.length).toBe(1);
});

test.each([
  ['gzip', gzipSync],
  ['deflate', deflateSync],
])(
  'answers packed with %s are unpacked, in order with those that are not',
  async (encoding, pack) => {
    const large = Buffer.alloc(200_000, 'g');
    const { channel } = await nodeServer({}, (stream) =>
      respond(
        stream,
        Buffer.concat([
          grpcMessage(pack(large), 1),
          grpcMessage('plain'),
          grpcMessage(pack(Buffer.from('small')), 1),
        ]),
        { 'grpc-encoding': encoding },
      ),
    );
    const seen: string[] = [];
    for await (const message of channel.serverStream('/t/Packed', Buffer.alloc(0), open)) {
      seen.push(message.toString());
    }
    expect(seen).toEqual([large.toString(), 'plain', 'small']);
  },
);

test('an answer that cannot be unpacked fails its call', async () => {
  const { channel, sessions } = await nodeServer({}, (stream) =>
    respond(stream, grpcMessage('not at all', 1), { 'grpc-encoding': 'gzip' }),
  );
  const failure = await failureOf(channel.unary('/t/Packed', Buffer.alloc(0), open));
  expect(failure).toMatchObject({ status: 'INTERNAL' });
  expect(failure.message).toMatch('cannot be unpacked');
  expect(sessions.length).toBe(1);
});

test('32 MiB go out and come back', async () => {
  const { channel } = await nodeServer({}, (stream, request) => respond(stream, request));
  const body = Buffer.alloc(32 * MIB, 'raft');
  expect((await channel.unary('/t/Echo', body, open)).equals(body)).toBe(true);
});

test('GOAWAY under load: each call is answered, or never began', async () => {
  let handled = 0;
  const { channel, sessions } = await nodeServer(
    { maxConcurrentStreams: 10 },
    (stream, request) => {
      handled++;
      respond(stream, request);
    },
  );
  let answered = 0;
  let refused = 0;
  for (let round = 0; round < 15; round++) {
    const calls = Array.from({ length: 40 }, (_, i) =>
      channel.unary('/t/Echo', Buffer.from(String(i)), open).then(
        () => answered++,
        (error: unknown) => {
          if (!isRpcError(error) || !error.neverBegun) throw error;
          refused++;
        },
      ),
    );
    await calls[round % 5];
    sessions.at(-1)!.close();
    await Promise.all(calls);
  }
  expect([handled, answered + refused]).toEqual([answered, 600]);
  expect(sessions.length).toBeGreaterThan(5);
});

test('a session that is torn down fails its calls, and the next has another', async () => {
  const { channel, sessions } = await nodeServer({}, (stream, request, headers) => {
    if (headers[':path'] === '/t/Echo') respond(stream, request);
  });
  const failures = [1, 2, 3].map(() => failureOf(channel.unary('/t/Never', Buffer.alloc(0), open)));
  await channel.unary('/t/Echo', Buffer.alloc(0), open);
  sessions[0]!.destroy(undefined, constants.NGHTTP2_INTERNAL_ERROR);
  for (const failure of await Promise.all(failures)) {
    expect(['UNAVAILABLE', 'INTERNAL', 'CANCELLED']).toContain(failure.status);
    expect(failure.neverBegun).toBe(false);
  }
  expect((await channel.unary('/t/Echo', Buffer.from('x'), open)).toString()).toBe('x');
  expect(sessions.length).toBe(2);
});
