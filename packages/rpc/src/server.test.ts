import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { connect as http2Connect } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as tlsConnect } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { MqError, silentLogger, type Logger } from '@raftmq/base';
import { type RpcStream } from './call.js';
import { type RpcChannel } from './channel.js';
import { RpcServer, type RpcServerLimits } from './server.js';
import { isRpcError, RpcError } from './status.js';
import { failureOf } from './testing/failure-of.js';
import { Opened } from './testing/raw-channel.js';

const opened = new Opened();
let directory = '';

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'raftmq-rpc-'));
});

afterEach(async () => {
  await opened.close();
  rmSync(directory, { recursive: true, force: true });
});

interface Started {
  readonly server: RpcServer;
  readonly channel: (options?: { tls?: boolean }) => RpcChannel;
}

async function start(
  setUp: (server: RpcServer) => void,
  options: { limits?: Partial<RpcServerLimits>; logger?: Logger } = {},
): Promise<Started> {
  const server = new RpcServer({
    host: '127.0.0.1',
    port: 0,
    tls: { selfSignedDirectory: join(directory, 'tls') },
    logger: options.logger ?? silentLogger,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  setUp(server);
  await server.start();
  opened.add(() => server.close(200));
  return {
    server,
    channel: ({ tls = false } = {}) =>
      opened.channelTo(`127.0.0.1:${server.port}`, { tls: tls ? { verify: false } : null }),
  };
}

/** Polls until `holds`, at most 5 s. */
async function until(holds: () => boolean, what: string): Promise<void> {
  const endsAt = Date.now() + 5_000;
  while (!holds()) {
    if (Date.now() > endsAt) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const soon = (): { deadlineMs: number } => ({ deadlineMs: Date.now() + 5_000 });

function echo(server: RpcServer): void {
  server.register({ kind: 'unary', path: '/t.T/Echo', handler: (request) => request });
}

describe('one port', () => {
  test('serves plaintext and TLS clients alike, with large messages', async () => {
    const { server, channel } = await start(echo);
    const body = Buffer.alloc(6 * 1024 * 1024, 7);
    for (const tls of [false, true]) {
      const answer = await channel({ tls }).unary('/t.T/Echo', body, soon());
      expect(answer.equals(body)).toBe(true);
    }
    expect(server.connections).toBe(2);
    expect(statSync(join(directory, 'tls', 'server-key.pem')).mode & 0o777).toBe(0o600);
  });

  test('keeps its self-signed certificate over a restart', async () => {
    const first = await start(echo);
    const path = join(directory, 'tls', 'server-cert.pem');
    const certificate = readFileSync(path, 'utf8');
    await first.server.close(0);
    await start(echo);
    expect(readFileSync(path, 'utf8')).toBe(certificate);
  });

  test('closes strangers without an answer and logs them once', async () => {
    const warnings: string[] = [];
    const logger: Logger = { ...silentLogger, warn: (_fields, message) => warnings.push(message) };
    const { server, channel } = await start(echo, { logger });
    for (const bytes of ['POST / HTTP/1.1\r\n\r\n', 'hello', '\0\0\0', 'PRX']) {
      expect(await answerTo(server.port, bytes)).toBe('');
    }
    expect(server.doorProbe?.refusedProtocol).toBe(4);
    expect(warnings).toEqual(['connection refused']);
    expect((await channel().unary('/t.T/Echo', Buffer.from('x'), soon())).toString()).toBe('x');
  });

  test('survives a broken preface and a broken TLS handshake', async () => {
    const { server, channel } = await start(echo);
    await answerTo(
      server.port,
      'PRI * HTTP/3.0 and then rubbish, much more than the preface needs',
    );
    await answerTo(server.port, '\x16\x03\x01\x00\x05hello and more rubbish behind the record');
    await until(() => server.connections === 0, 'both connections closed');
    expect(server.doorProbe?.refusedProtocol).toBe(1);
    expect(server.connectionProbe.protocolErrors).toBe(1);
    expect((await channel().unary('/t.T/Echo', Buffer.from('x'), soon())).toString()).toBe('x');
  });

  test('serves TLS clients that negotiate HTTP/2, and no others', async () => {
    const { server } = await start(echo);
    const socket = tlsConnect({
      port: server.port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      ALPNProtocols: ['http/1.1'],
    });
    await closedBy(socket);
    expect(server.doorProbe?.refusedProtocol).toBe(1);
  });

  test('recognises a preface that trickles in, byte by byte', async () => {
    const { server } = await start(echo);
    const socket = await open(server.port);
    let received = 0;
    socket.on('data', (bytes) => (received += bytes.length));
    for (const byte of Buffer.from(
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0',
      'latin1',
    )) {
      await new Promise((resolve) => socket.write(Buffer.from([byte]), resolve));
      await new Promise((resolve) => setImmediate(resolve));
    }
    // A settings frame and its acknowledgement: 9 bytes each at least.
    await until(() => received >= 18, 'the server spoke HTTP/2');
    socket.destroy();
  });

  test('closes a connection that says nothing', async () => {
    const { server } = await start(echo, { limits: { peekTimeoutMs: 20 } });
    const socket = await open(server.port);
    await closedBy(socket);
    expect(server.doorProbe?.refusedProtocol).toBe(1);
  });

  test('refuses connections over the limits', async () => {
    const { server } = await start(echo, {
      limits: { connectionsMax: 3, connectionsPerAddressMax: 2 },
    });
    const kept = [await open(server.port), await open(server.port)];
    await until(() => server.connections === 2, 'two connections');
    await closedBy(await open(server.port));
    expect(server.doorProbe?.refusedOverLimit).toBe(1);
    kept[0]!.destroy();
    await until(() => server.connections === 1, 'one left');
    kept.push(await open(server.port));
    await until(() => server.connections === 2, 'room again');
    for (const socket of kept) socket.destroy();
  });

  test('closes connections without calls after the idle time', async () => {
    const { server, channel } = await start(echo, { limits: { idleMs: 50 } });
    await channel().unary('/t.T/Echo', Buffer.from('x'), soon());
    await until(() => server.connections === 0, 'the idle connection closed');
  });

  test('says clearly that a port is taken', async () => {
    const { server } = await start(echo);
    const second = new RpcServer({
      host: '127.0.0.1',
      port: server.port,
      tls: null,
      logger: silentLogger,
    });
    await expect(second.start()).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(`127.0.0.1:${server.port}`),
    });
  });
});

describe('calls', () => {
  test('become the status that their failure means', async () => {
    const errors: string[] = [];
    const logger: Logger = { ...silentLogger, error: (_fields, message) => errors.push(message) };
    const { server, channel } = await start(
      (server) => {
        const failures: Record<string, () => Promise<Buffer> | Buffer> = {
          Rpc: () => Promise.reject(new RpcError('ABORTED', 'as planned')),
          Mq: () => Promise.reject(new MqError('TOPIC_NOT_FOUND', 'no topic \ud800 here')),
          Foreign: () => Promise.reject(new TypeError('secret detail')),
          Thrown: () => {
            throw new TypeError('secret detail');
          },
        };
        for (const [name, handler] of Object.entries(failures)) {
          server.register({ kind: 'unary', path: `/t.T/${name}`, handler });
        }
      },
      { logger },
    );
    const client = channel();
    const status = async (name: string): Promise<string[]> => {
      const { status, message } = await failureOf(
        client.unary(`/t.T/${name}`, Buffer.alloc(0), soon()),
      );
      return [status, message];
    };
    expect(await status('Rpc')).toEqual(['ABORTED', 'as planned']);
    expect(await status('Mq')).toEqual(['NOT_FOUND', 'no topic \ufffd here']);
    expect(await status('Foreign')).toEqual(['INTERNAL', expect.not.stringContaining('secret')]);
    expect((await status('Thrown'))[0]).toBe('INTERNAL');
    expect((await status('Nowhere'))[0]).toBe('UNIMPLEMENTED');
    expect(server.probe).toEqual({ calls: 4, callsFailed: 4, foreignErrors: 2 });
    expect(errors).toEqual(['handler failed']);
    expect(server.connections).toBe(1);
  });

  test('over the receive limit are refused and the connection lives on', async () => {
    const { server, channel } = await start(echo, { limits: { receiveBytesMax: 1000 } });
    const client = channel();
    expect((await failureOf(client.unary('/t.T/Echo', Buffer.alloc(1001), soon()))).status).toBe(
      'RESOURCE_EXHAUSTED',
    );
    expect((await client.unary('/t.T/Echo', Buffer.alloc(1000), soon())).length).toBe(1000);
    expect(server.connections).toBe(1);
  });

  test('a deadline of years is no deadline', async () => {
    let deadlineMs: number | null | undefined;
    const { server } = await start((rpc) =>
      rpc.register({
        kind: 'unary',
        path: '/t.T/Slow',
        handler: async (_request, context) => {
          deadlineMs = context.deadlineMs;
          await new Promise((resolve) => setTimeout(resolve, 20));
          return Buffer.alloc(0);
        },
      }),
    );
    const session = http2Connect(`http://127.0.0.1:${server.port}`);
    const stream = session.request({
      ':method': 'POST',
      ':path': '/t.T/Slow',
      'content-type': 'application/grpc',
      te: 'trailers',
      'grpc-timeout': '2562047H',
    });
    stream.end(Buffer.alloc(5));
    const trailers = await new Promise<Record<string, unknown>>((resolve) => {
      stream.on('trailers', resolve);
      stream.on('response', (headers) => {
        if (headers['grpc-status'] !== undefined) resolve(headers);
      });
      stream.resume();
    });
    session.close();
    expect(trailers['grpc-status']).toBe('0');
    expect(deadlineMs).toBeNull();
  });

  test('see headers, deadline and peer', async () => {
    let seen: unknown[] = [];
    const { channel } = await start((server) =>
      server.register({
        kind: 'unary',
        path: '/t.T/Who',
        handler(request, context) {
          seen = [
            context.header('x-mq-client-id'),
            context.header('x-none'),
            context.headers(),
            context.deadlineMs,
            context.peer,
          ];
          return request;
        },
      }),
    );
    const deadlineMs = Date.now() + 4_000;
    await channel().unary('/t.T/Who', Buffer.alloc(0), {
      deadlineMs,
      headers: { 'x-mq-client-id': 'me@1' },
    });
    expect(seen.slice(0, 3)).toEqual(['me@1', null, { 'x-mq-client-id': 'me@1' }]);
    expect(Math.abs((seen[3] as number) - deadlineMs)).toBeLessThan(1_000);
    expect(seen[4]).toMatch(/^127\.0\.0\.1:\d+$/);
  });

  test('are aborted when the caller cancels', async () => {
    let signal: AbortSignal | null = null;
    const { channel } = await start((server) =>
      server.register({
        kind: 'unary',
        path: '/t.T/Wait',
        handler: (_request, context) => {
          signal = context.signal;
          return new Promise(() => undefined);
        },
      }),
    );
    const abort = new AbortController();
    const failure = failureOf(
      channel().unary('/t.T/Wait', Buffer.alloc(0), { deadlineMs: null, signal: abort.signal }),
    );
    await until(() => signal !== null, 'the handler ran');
    abort.abort();
    expect((await failure).status).toBe('CANCELLED');
    await until(() => signal!.aborted, 'the handler heard of it');
  });
});

describe('streams', () => {
  test('from the server keep order under back-pressure and end with OK', async () => {
    const { channel } = await start((server) =>
      server.register({
        kind: 'server-stream',
        path: '/t.T/Count',
        async handler(request, writer) {
          for (let i = 0; i < request.readUInt32BE(0); i++) {
            const message = Buffer.alloc(10_000);
            message.writeUInt32BE(i);
            if (!writer.write(message)) await writer.drained();
            expect(writer.pending).toBeLessThan(50);
          }
        },
      }),
    );
    const request = Buffer.alloc(4);
    request.writeUInt32BE(500);
    const seen: number[] = [];
    for await (const message of channel().serverStream('/t.T/Count', request, soon()))
      seen.push(message.readUInt32BE(0));
    expect(seen).toEqual(Array.from({ length: 500 }, (_, i) => i));
  });

  test('from the server end with the status of a failure', async () => {
    const { channel } = await start((server) =>
      server.register({
        kind: 'server-stream',
        path: '/t.T/Fail',
        async handler(_request, writer) {
          writer.write(Buffer.from('one'));
          throw new MqError('TOO_MANY_REQUESTS', 'slow down');
        },
      }),
    );
    const seen: string[] = [];
    const read = async (): Promise<void> => {
      for await (const message of channel().serverStream('/t.T/Fail', Buffer.alloc(0), soon()))
        seen.push(message.toString());
    };
    expect(await failureOf(read())).toMatchObject({
      status: 'RESOURCE_EXHAUSTED',
      message: 'slow down',
    });
    expect(seen).toEqual(['one']);
  });

  test('left early are cancelled at the server', async () => {
    let over = false;
    const { channel } = await start((server) =>
      server.register({
        kind: 'server-stream',
        path: '/t.T/Endless',
        async handler(_request, writer, context) {
          while (!context.signal.aborted)
            if (!writer.write(Buffer.alloc(1000))) await writer.drained();
          over = true;
        },
      }),
    );
    for await (const message of channel().serverStream('/t.T/Endless', Buffer.alloc(0), {
      deadlineMs: null,
    })) {
      expect(message.length).toBe(1000);
      break;
    }
    await until(() => over, 'the handler stopped');
  });

  test('in both directions send headers at once, echo, and end once', async () => {
    const log: string[] = [];
    const { channel } = await start((server) =>
      server.register({
        kind: 'bidi',
        path: '/t.T/Talk',
        handler(stream, context) {
          context.sendInitialMetadata();
          stream.listen({
            message: (message) => void stream.write(Buffer.concat([Buffer.from('re:'), message])),
            ended: () => stream.end(),
            closed: (failure) =>
              void log.push(`server ${failure === null ? 'ok' : failure.message}`),
          });
        },
      }),
    );
    const stream = channel().bidi('/t.T/Talk', { deadlineMs: null });
    stream.listen({
      message: (message) => void log.push(message.toString()),
      closed: (failure) => void log.push(`client ${failure === null ? 'ok' : failure.message}`),
    });
    for (const word of ['a', '', 'c']) stream.write(Buffer.from(word));
    stream.end();
    await until(() => log.length === 5, 'everything said');
    expect(log.slice().sort()).toEqual(['client ok', 're:', 're:a', 're:c', 'server ok']);
    expect(log.indexOf('client ok')).toBeGreaterThan(log.indexOf('re:c'));
  });

  test.each([
    [
      'a listener throws',
      (stream: RpcStream<Buffer, Buffer>) => stream.write(Buffer.from('throw')),
      'FAILED_PRECONDITION',
    ],
    [
      'the server fails it',
      (stream: RpcStream<Buffer, Buffer>) => stream.write(Buffer.from('fail')),
      'UNAVAILABLE',
    ],
  ])('in both directions tell both ends when %s', async (_name, provoke, status) => {
    const ends: (Error | null)[] = [];
    const { channel } = await start((server) =>
      server.register({
        kind: 'bidi',
        path: '/t.T/Talk',
        handler: (stream) =>
          stream.listen({
            message(message) {
              if (message.toString() === 'throw') throw new RpcError('FAILED_PRECONDITION', 'no');
              stream.fail(new RpcError('UNAVAILABLE', 'no'));
            },
            closed: (failure) => void ends.push(failure),
          }),
      }),
    );
    const stream = channel().bidi('/t.T/Talk', { deadlineMs: null });
    stream.listen({ message: () => undefined, closed: (failure) => void ends.push(failure) });
    provoke(stream);
    await until(() => ends.length === 2, 'both ends closed');
    expect(ends.map((end) => isRpcError(end) && end.status)).toEqual([status, status]);
    expect(stream.closed).toBe(true);
    expect(stream.write(Buffer.from('late'))).toBe(false);
  });

  test('are closed on both ends when the connection breaks', async () => {
    const ends: (Error | null)[] = [];
    const { server, channel } = await start((server) =>
      server.register({
        kind: 'bidi',
        path: '/t.T/Talk',
        handler: (stream) =>
          stream.listen({ message: () => undefined, closed: (failure) => void ends.push(failure) }),
      }),
    );
    const client = channel();
    const stream = client.bidi('/t.T/Talk', { deadlineMs: null });
    stream.listen({ message: () => undefined, closed: (failure) => void ends.push(failure) });
    stream.write(Buffer.from('x'));
    await until(() => server.probe.calls === 1, 'the call arrived');
    await server.close(0);
    await until(() => ends.length === 2, 'both ends closed');
    expect(ends.every((end) => end !== null)).toBe(true);
  });
});

test('close lets a call in progress finish and refuses new ones', async () => {
  let finish: (answer: Buffer) => void = () => undefined;
  let entered = false;
  const { server, channel } = await start((server) =>
    server.register({
      kind: 'unary',
      path: '/t.T/Slow',
      handler: () => {
        entered = true;
        return new Promise((resolve) => (finish = resolve));
      },
    }),
  );
  const call = channel().unary('/t.T/Slow', Buffer.alloc(0), soon());
  await until(() => entered, 'the call is in progress');
  const closed = server.close(5_000);
  const late = failureOf(
    channel().unary('/t.T/Slow', Buffer.alloc(0), { deadlineMs: Date.now() + 2_000 }),
  );
  expect(['UNAVAILABLE', 'DEADLINE_EXCEEDED']).toContain((await late).status);
  finish(Buffer.from('done'));
  expect((await call).toString()).toBe('done');
  await closed;
});

function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket));
    socket.on('error', reject);
  });
}

function closedBy(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.on('error', () => undefined);
    socket.on('close', () => resolve());
    socket.resume();
  });
}

/** What the server says to these bytes before it closes the connection; frames of HTTP/2 and TLS as ''. */
async function answerTo(port: number, bytes: string): Promise<string> {
  const socket = await open(port);
  let text = '';
  socket.on('data', (chunk) => (text += chunk.toString('latin1')));
  const closed = closedBy(socket);
  socket.write(bytes, 'latin1');
  await closed;
  return text;
}
