import type * as Dns from 'node:dns';
import { mkdtempSync, rmSync } from 'node:fs';
import { isIPv6, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { silentLogger } from '@raftmq/base';
import { loadCertificate } from './certificate.js';
import { RpcServer } from './server.js';
import { failureOf } from './testing/failure-of.js';
import { Opened } from './testing/raw-channel.js';

const opened = new Opened();

afterEach(() => opened.close());

type FoundAll = (error: null, addresses: readonly Dns.LookupAddress[]) => void;

/** The one that `node:net` calls. */
const dns = jest.requireActual<typeof Dns>('node:dns');

/** Reserved: nobody listens there. */
const UNUSED_PORT = 1;
const NOTHING = Buffer.alloc(0);
const open = { deadlineMs: null };

async function rpcServer(host: string, tlsDirectory: string | null = null): Promise<number> {
  const tls = tlsDirectory === null ? null : { selfSignedDirectory: tlsDirectory };
  const server = new RpcServer({ host, port: 0, tls, logger: silentLogger });
  server.register({ kind: 'unary', path: '/t/Echo', handler: (request) => request });
  await server.start();
  opened.add(() => server.close(0));
  return server.port;
}

function tlsDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'raftmq-channel-'));
  opened.add(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const endsAt = Date.now() + 5_000;
  while (!holds()) {
    if (Date.now() > endsAt) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

describe('an address', () => {
  test.each([
    ['127.0.0.1', '127.0.0.1'],
    ['127.0.0.1', 'localhost'],
    ['::1', '[::1]'],
  ])('of a server on %s may be %s', async (host, name) => {
    const port = await rpcServer(host, tlsDirectory());
    for (const tls of [null, { verify: false }]) {
      const channel = opened.channelTo(`${name}:${port}`, { tls });
      // More than one read, so that all of it goes by way of the shared buffer.
      const body = Buffer.alloc(300_000, name);
      expect((await channel.unary('/t/Echo', body, open)).equals(body)).toBe(true);
    }
  });

  test.each(['::1', '127.0.0.1'])('with two addresses is found at the second, %s', async (host) => {
    const port = await rpcServer(host, tlsDirectory());
    const addresses = host === '::1' ? ['127.0.0.1', '::1'] : ['::1', '127.0.0.1'];
    const lookup = jest.spyOn(dns, 'lookup');
    opened.add(() => lookup.mockRestore());
    lookup.mockImplementation(((_name: string, _options: object, found: FoundAll) =>
      found(
        null,
        addresses.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 })),
      )) as never);
    for (const tls of [null, { verify: false }]) {
      const channel = opened.channelTo(`two.invalid:${port}`, { tls });
      const body = Buffer.alloc(300_000, host);
      expect((await channel.unary('/t/Echo', body, open)).equals(body)).toBe(true);
    }
    const nobody = await failureOf(
      opened.channelTo(`two.invalid:${UNUSED_PORT}`).unary('/t/Echo', NOTHING, open),
    );
    // Each has its own failure.
    for (const address of addresses) expect(nobody.message).toMatch(`ECONNREFUSED ${address}`);
  });

  test.each(['nowhere', '127.0.0.1:', '127.0.0.1:99999', '127.0.0.1:x'])(
    'such as %s fails all calls, as RpcError',
    async (address) => {
      const channel = opened.channelTo(address);
      const failure = await failureOf(channel.unary('/t/Echo', NOTHING, open));
      expect(failure).toMatchObject({ status: 'UNAVAILABLE', neverBegun: true });
      expect(failure.message).toMatch(`cannot connect to ${address}: `);
      const stream = channel.bidi('/t/Talk', open);
      const ends: unknown[] = [];
      stream.listen({ message: () => undefined, closed: (failure) => ends.push(failure) });
      expect(ends).toEqual([]);
      await until('the end', () => ends.length === 1);
      expect(ends).toEqual([expect.objectContaining({ status: 'UNAVAILABLE' })]);
    },
  );

  test('that cannot be resolved says so', async () => {
    const channel = opened.channelTo('no-such-host.invalid:1');
    const failure = await failureOf(channel.unary('/t/Echo', NOTHING, open));
    expect(failure).toMatchObject({ status: 'UNAVAILABLE', neverBegun: true });
    expect(failure.message).toMatch('no-such-host.invalid');
  });
});

describe('TLS', () => {
  test('with a certificate that is not trusted fails calls before anything is said', async () => {
    const directory = tlsDirectory();
    const port = await rpcServer('127.0.0.1', directory);
    const channel = opened.channelTo(`localhost:${port}`, { tls: { verify: true } });
    const failure = await failureOf(channel.unary('/t/Echo', NOTHING, open));
    expect(failure).toMatchObject({ status: 'UNAVAILABLE', neverBegun: true });
    expect(failure.message).toMatch(/cannot connect to localhost:\d+: self.signed certificate/);
    const { certificate } = await loadCertificate({ selfSignedDirectory: directory });
    const trusting = opened.channelTo(`localhost:${port}`, {
      tls: { verify: true, rootCertificates: certificate },
    });
    expect((await trusting.unary('/t/Echo', Buffer.from('x'), open)).toString()).toBe('x');
  });

  test('with roots that are none fails calls', async () => {
    const port = await rpcServer('127.0.0.1', tlsDirectory());
    const tls = { verify: true, rootCertificates: Buffer.from('-----BEGIN CERTIFICATE-----\nx') };
    const failure = await failureOf(
      opened.channelTo(`localhost:${port}`, { tls }).unary('/t/Echo', NOTHING, open),
    );
    expect(failure).toMatchObject({ status: 'UNAVAILABLE', neverBegun: true });
  });

  test.each([
    ['speaks HTTP/1.1 alone', ['http/1.1'], /cannot connect/],
    ['knows nothing of ALPN', undefined, /it does not speak HTTP\/2/],
  ])('at a server that %s fails calls', async (_what, ALPNProtocols, message) => {
    const { certificate, key } = await loadCertificate({ selfSignedDirectory: tlsDirectory() });
    const server = createTlsServer(
      { cert: certificate, key, ...(ALPNProtocols === undefined ? {} : { ALPNProtocols }) },
      (socket) => {
        socket.on('error', () => undefined);
        socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
      },
    );
    server.on('tlsClientError', () => undefined);
    const port = await listening(server);
    const channel = opened.channelTo(`127.0.0.1:${port}`, { tls: { verify: false } });
    const failure = await failureOf(channel.unary('/t/Echo', NOTHING, open));
    expect(failure).toMatchObject({ status: 'UNAVAILABLE', neverBegun: true });
    expect(failure.message).toMatch(message);
  });

  test('at a plaintext server, and plaintext at a TLS server', async () => {
    const raw = await opened.rawServer();
    const secure = opened.channelTo(raw.address, { tls: { verify: false } });
    const first = await failureOf(secure.unary('/t/Echo', NOTHING, open));
    expect(first).toMatchObject({ status: 'UNAVAILABLE', neverBegun: true });
    const { certificate, key } = await loadCertificate({ selfSignedDirectory: tlsDirectory() });
    const server = createTlsServer({ cert: certificate, key });
    server.on('tlsClientError', (_error, socket) => socket.destroy());
    const plain = opened.channelTo(`127.0.0.1:${await listening(server)}`);
    const second = await failureOf(plain.unary('/t/Echo', NOTHING, open));
    expect(second).toMatchObject({ status: 'UNAVAILABLE', neverBegun: true });
    expect(second.message).toMatch('check the port, and whether TLS is used there');
  });
});

async function listening(server: Server): Promise<number> {
  const sockets: Socket[] = [];
  server.on('connection', (socket: Socket) => sockets.push(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  opened.add(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}
