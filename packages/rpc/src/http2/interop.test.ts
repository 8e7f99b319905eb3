import { connect as http2Connect, type ClientHttp2Session } from 'node:http2';
import { deflateSync, gzipSync } from 'node:zlib';
import { Client, compressionAlgorithms, credentials } from '@grpc/grpc-js';
import { afterEach, expect, test } from '@jest/globals';
import { createPrng } from '@raftmq/base';
import { type RpcServerLimits } from '../server.js';
import { grpcMessage } from './testing/raw-peer.js';
import { serve, type Served } from './testing/serve.js';

const MIB = 1024 * 1024;
const closers: (() => void)[] = [];
let served: Served | null = null;

afterEach(async () => {
  for (const close of closers.splice(0)) close();
  await served?.server.close(0);
  expect(served?.errors ?? []).toEqual([]);
  served = null;
});

async function start(limits: Partial<RpcServerLimits> = {}): Promise<void> {
  served = await serve((server) => {
    server.register({
      kind: 'unary',
      path: '/t/Headers',
      handler: (_request, context) => Buffer.from(JSON.stringify(context.headers())),
    });
    server.register({
      kind: 'bidi',
      path: '/t/Talk',
      handler: (stream) =>
        stream.listen({
          message: (message) => void stream.write(message),
          ended: () => stream.end(),
          closed: () => undefined,
        }),
    });
  }, limits);
}

function nodeClient(): ClientHttp2Session {
  const session = http2Connect(`http://127.0.0.1:${served!.port}`);
  closers.push(() => session.destroy());
  return session;
}

function grpcClient(options: Record<string, unknown> = {}): Client {
  const client = new Client(`127.0.0.1:${served!.port}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
    ...options,
  });
  closers.push(() => client.close());
  return client;
}

const same = (bytes: Buffer): Buffer => bytes;

function echo(client: Client, body: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest('/t/Echo', same, same, body, (error, answer) =>
      error === null ? resolve(answer!) : reject(error),
    );
  });
}

interface NodeAnswer {
  readonly headers: Record<string, unknown>;
  readonly status: unknown;
  readonly message: unknown;
  readonly content: Buffer;
}

/** One request by the HTTP/2 client of Node.js, nghttp2: another HPACK and framing than ours. */
function request(
  session: ClientHttp2Session,
  path: string,
  content: Buffer,
  headers: Record<string, string | string[]> = {},
): Promise<NodeAnswer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    const chunks: Buffer[] = [];
    let first: Record<string, unknown> = {};
    let last: Record<string, unknown> = {};
    stream.on('response', (seen) => (first = seen));
    stream.on('trailers', (seen) => (last = seen));
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', reject);
    stream.on('close', () =>
      resolve({
        headers: first,
        status: last['grpc-status'] ?? first['grpc-status'],
        message: last['grpc-message'] ?? first['grpc-message'],
        content: Buffer.concat(chunks),
      }),
    );
    stream.end(content);
  });
}

test('header fields arrive as the HTTP/2 of Node.js sends them, however often and in whatever order', async () => {
  await start();
  const prng = createPrng(7541);
  const session = nodeClient();
  const names = Array.from({ length: 40 }, (_, i) => `x-${i}-${'n'.repeat(prng.integer(0, 40))}`);
  const char = (): string => {
    // Printable, and now and then bytes with the longest Huffman codes.
    const code = prng.chance(0.9) ? prng.integer(0x21, 0x7e) : prng.integer(0x80, 0xff);
    return String.fromCharCode(code);
  };
  const values = Array.from({ length: 60 }, () =>
    Array.from({ length: prng.integer(0, 120) }, char).join(''),
  );
  const calls: Promise<void>[] = [];
  for (let call = 0; call < 400; call++) {
    const headers: Record<string, string> = {};
    for (let i = prng.integer(0, 25); i > 0; i--) headers[prng.pick(names)] = prng.pick(values);
    const check = async (): Promise<void> => {
      const { content, status } = await request(session, '/t/Headers', grpcMessage(''), headers);
      expect(status).toBe('0');
      expect(JSON.parse(content.subarray(5).toString('utf8'))).toEqual(headers);
    };
    calls.push(check());
    if (calls.length === 20) await Promise.all(calls.splice(0));
  }
  await Promise.all(calls);
});

test('each byte that a header may hold survives', async () => {
  await start();
  const headers: Record<string, string> = {};
  for (let code = 0x20; code <= 0xff; code++) {
    if (code === 0x7f) continue;
    headers[`x-${code}`] = `<${String.fromCharCode(code).repeat(3)}>`;
  }
  const { content } = await request(nodeClient(), '/t/Headers', grpcMessage(''), headers);
  expect(JSON.parse(content.subarray(5).toString('utf8'))).toEqual(headers);
});

test('header fields that are too large fail their call, and the table stays in step', async () => {
  await start();
  const session = nodeClient();
  const large = { 'x-large': 'l'.repeat(17_000), 'x-kept': 'kept' };
  expect((await request(session, '/t/Headers', grpcMessage(''), large)).status).toBe('8');
  const after = await request(session, '/t/Headers', grpcMessage(''), { 'x-kept': 'kept' });
  expect(JSON.parse(after.content.subarray(5).toString())).toEqual({ 'x-kept': 'kept' });
});

test.each([
  ['no gRPC', { 'content-type': 'application/json' }, 415],
  ['gRPC-Web', { 'content-type': 'application/grpc-web' }, 415],
  ['no content type', { 'content-type': '' }, 415],
  ['a PUT', { ':method': 'PUT' }, 405],
])('a request that is %s gets an answer of HTTP', async (_what, headers, status) => {
  await start();
  const session = nodeClient();
  const answer = await request(session, '/t/Echo', Buffer.alloc(0), headers);
  expect(answer.headers[':status']).toBe(status);
  expect((await request(session, '/t/Echo', grpcMessage('x'))).status).toBe('0');
});

test.each([
  ['a subtype', { 'content-type': 'application/grpc+proto' }],
  ['parameters', { 'content-type': 'application/grpc; charset=utf-8' }],
])('a content type with %s is gRPC', async (_what, headers) => {
  await start();
  expect((await request(nodeClient(), '/t/Echo', grpcMessage('x'), headers)).status).toBe('0');
});

const tooSmall = grpcMessage('x').subarray(0, 5);

test.each<[string, string, Buffer, string]>([
  ['an unknown method', '/t/Nowhere', grpcMessage('x'), '12'],
  ['no message', '/t/Echo', Buffer.alloc(0), '12'],
  ['two messages', '/t/Echo', Buffer.concat([grpcMessage('x'), grpcMessage('y')]), '12'],
  ['half a message', '/t/Echo', tooSmall, '13'],
  ['half a prefix', '/t/Echo', Buffer.alloc(3), '13'],
  ['a message marked as packed in an unnamed way', '/t/Echo', grpcMessage('x', 1), '13'],
  ['a message with a flag that means nothing', '/t/Echo', grpcMessage('x', 2), '13'],
])('%s ends the call alone', async (_what, path, content, status) => {
  await start();
  const session = nodeClient();
  const answer = await request(session, path, content);
  expect(answer.status).toBe(status);
  expect(answer.headers[':status']).toBe(200);
  expect((await request(session, '/t/Echo', grpcMessage('x'))).status).toBe('0');
});

test.each([
  ['gzip', gzipSync(Buffer.alloc(50_000, 'g'))],
  ['deflate', deflateSync(Buffer.alloc(50_000, 'g'))],
])('messages packed with %s are unpacked', async (encoding, packed) => {
  await start({ receiveBytesMax: 50_000 });
  const session = nodeClient();
  const headers = { 'grpc-encoding': encoding };
  const { content } = await request(session, '/t/Echo', grpcMessage(packed, 1), headers);
  expect(content.equals(grpcMessage(Buffer.alloc(50_000, 'g')))).toBe(true);
  // Not each message has to be packed; and they stay in order.
  const mixed = [grpcMessage(packed, 1), grpcMessage('plain'), grpcMessage(packed, 1)];
  const talk = await request(session, '/t/Talk', Buffer.concat(mixed), headers);
  expect(talk.content.subarray(50_005, 50_015)).toEqual(grpcMessage('plain'));
  expect(talk.status).toBe('0');
});

test('packed messages that are too large, broken or of an unknown kind fail their call', async () => {
  await start({ receiveBytesMax: 50_000 });
  const session = nodeClient();
  const statusOf = async (encoding: string, packed: Buffer): Promise<unknown> =>
    (await request(session, '/t/Echo', grpcMessage(packed, 1), { 'grpc-encoding': encoding }))
      .status;
  expect(await statusOf('gzip', gzipSync(Buffer.alloc(50 * MIB)))).toBe('8');
  expect(await statusOf('gzip', Buffer.from('not at all'))).toBe('13');
  const unknown = await request(session, '/t/Echo', grpcMessage('x', 1), { 'grpc-encoding': 'br' });
  expect(unknown.status).toBe('12');
  expect(unknown.headers['grpc-accept-encoding']).toBe('identity,deflate,gzip');
});

test('the text of a failure survives', async () => {
  await start();
  served!.server.register({
    kind: 'unary',
    path: '/t/Fail',
    handler: () => {
      throw Object.assign(new Error('100 % größer\n☃'), { name: 'RpcError', status: 'ABORTED' });
    },
  });
  const { status, message } = await request(nodeClient(), '/t/Fail', grpcMessage('x'));
  expect(status).toBe('10');
  expect(message).toBe('100 %25 gr%C3%B6%C3%9Fer%0A%E2%98%83');
  const failed = new Promise((resolve) =>
    grpcClient().makeUnaryRequest('/t/Fail', same, same, Buffer.alloc(0), resolve),
  );
  expect(await failed).toMatchObject({ code: 10, details: '100 % größer\n☃' });
});

test('grpc-js sends packed messages, large ones, and many at once', async () => {
  await start();
  const packing = grpcClient({
    'grpc.default_compression_algorithm': compressionAlgorithms.gzip,
  });
  const text = Buffer.alloc(2 * MIB, 'text ');
  expect((await echo(packing, text)).equals(text)).toBe(true);
  const client = grpcClient();
  const sizes = [0, 1, 1024, 16_379, 16_384, 65_536, 4 * MIB, 4 * MIB + 1];
  const answers = await Promise.all(
    Array.from({ length: 64 }, (_, i) => echo(client, Buffer.alloc(sizes[i % sizes.length]!, i))),
  );
  answers.forEach((answer, i) => {
    expect(answer.equals(Buffer.alloc(sizes[i % sizes.length]!, i))).toBe(true);
  });
});

test('100 MiB go in and out', async () => {
  await start();
  const body = Buffer.alloc(100 * MIB, 'raft');
  const answer = await echo(grpcClient(), body);
  expect(answer.length).toBe(body.length);
  expect(answer.equals(body)).toBe(true);
  expect(served!.server.connections).toBe(1);
});

test('a window of a few bytes is enough', async () => {
  await start({ streamWindowBytes: 13 });
  const body = Buffer.alloc(10_000, 'w');
  const answers = await Promise.all([echo(grpcClient(), body), echo(grpcClient(), body)]);
  for (const answer of answers) expect(answer.equals(body)).toBe(true);
});
