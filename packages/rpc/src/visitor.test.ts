import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, jest, test } from '@jest/globals';
import { silentLogger } from '@raftmq/base';
import { RpcChannel } from './channel.js';

test('where sockets cannot be adopted, they are read as they are', async () => {
  const adoptSocket = jest.fn(() => null);
  jest.doMock('./adopted-socket', () => ({ adoptSocket }));
  const { RpcServer } = await import('./server.js');
  const directory = mkdtempSync(join(tmpdir(), 'raftmq-rpc-'));
  const server = new RpcServer({
    host: '127.0.0.1',
    port: 0,
    tls: { selfSignedDirectory: directory },
    logger: silentLogger,
  });
  server.register({ kind: 'unary', path: '/t.T/Echo', handler: (request) => request });
  await server.start();
  const body = Buffer.alloc(300_000, 'x');
  for (const tls of [null, { verify: false }]) {
    const channel = new RpcChannel({ address: `127.0.0.1:${server.port}`, tls });
    const deadlineMs = Date.now() + 5_000;
    expect((await channel.unary('/t.T/Echo', body, { deadlineMs })).equals(body)).toBe(true);
    channel.close();
  }
  expect(adoptSocket).toHaveBeenCalledTimes(2);
  await server.close(0);
  rmSync(directory, { recursive: true });
});
