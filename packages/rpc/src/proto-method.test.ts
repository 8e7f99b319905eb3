import { afterEach, expect, test } from '@jest/globals';
import { silentLogger } from '@raftmq/base';
import { type ProtoHandlers } from './call.js';
import { RpcChannel, type RpcService } from './channel.js';
import { loadMessage, loadService } from './load.js';
import { RpcServer } from './server.js';

const SERVICE = 'raftmq.namesrv.v1.NameServer';
const closers: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function serve(
  name: string,
  handlers: ProtoHandlers,
): Promise<{ server: RpcServer; channel: RpcChannel; service: RpcService }> {
  const server = new RpcServer({ host: '127.0.0.1', port: 0, tls: null, logger: silentLogger });
  server.registerProto(name, handlers);
  await server.start();
  closers.push(() => server.close(0));
  const channel = new RpcChannel({ address: `127.0.0.1:${server.port}`, tls: null });
  closers.push(() => channel.close());
  return { server, channel, service: channel.service(name) };
}

const soon = (): { deadlineMs: number } => ({ deadlineMs: Date.now() + 5_000 });

test('handlers of decoded messages get camelCase keys, numbers and defaults', async () => {
  const seen: object[] = [];
  const { service } = await serve(SERVICE, {
    GetTopicRoute: {
      unary: (request: { readonly topic: string }) => {
        seen.push({ ...request });
        return { groups: [{ group: 'g', term: 2 ** 40, leaderId: -1, replicas: [] }] };
      },
    },
  });
  const answer = await service.unary('GetTopicRoute', {}, soon());
  expect(seen).toEqual([{ topic: '' }]);
  expect(answer).toEqual({
    groups: [{ cluster: '', group: 'g', term: 2 ** 40, leaderId: -1, replicas: [], topic: null }],
  });
});

test('optional fields and members of a oneof stay absent, and the oneof names the one that is there', () => {
  const command = loadMessage<{ command?: string; settings?: object; status?: unknown }>(
    'apache.rocketmq.v2.TelemetryCommand',
  );
  const settings = command.decode(command.encode({ settings: { userAgent: { language: 8 } } }));
  expect(settings.command).toBe('settings');
  expect(settings.status).toBeUndefined();
  expect(settings.settings).toMatchObject({
    userAgent: { language: 8, version: '' },
    metric: null,
  });
  expect('clientType' in settings.settings!).toBe(false);
});

test('bytes that are no such message fail their call alone', async () => {
  const { server, channel, service } = await serve(SERVICE, {
    GetTopicRoute: { unary: () => ({ groups: [] }) },
    Register: {
      bidi: (stream) => stream.listen({ message: () => undefined, closed: () => undefined }),
    },
  });
  const methods = loadService(SERVICE);
  // A field that ends behind the message; a length without end; a tag alone; a group nested without end; a number
  // where a text belongs; field number 0.
  const rubbish = ['0a7f', '0affffffffffffffffffffffff', '09', '0b'.repeat(20_000), '0801', '0200'];
  for (const hex of rubbish) {
    const bytes = Buffer.from(hex, 'hex');
    await expect(
      channel.unary(methods.get('GetTopicRoute')!.path, bytes, soon()),
    ).rejects.toMatchObject({ status: 'INVALID_ARGUMENT' });
    const stream = channel.bidi(methods.get('Register')!.path, { deadlineMs: null });
    const end = new Promise<Error | null>((resolve) =>
      stream.listen({ message: () => undefined, closed: resolve }),
    );
    stream.write(bytes);
    expect(await end).toMatchObject({ status: 'INVALID_ARGUMENT' });
  }
  expect(await service.unary('GetTopicRoute', { topic: 't' }, soon())).toEqual({ groups: [] });
  expect(server.connections).toBe(1);
  expect(server.probe.foreignErrors).toBe(0);
});

test('unknown fields are passed over', async () => {
  let topic = '';
  const { channel } = await serve(SERVICE, {
    GetTopicRoute: {
      unary: (request: { readonly topic: string }) => {
        topic = request.topic;
        return { groups: [] };
      },
    },
  });
  const grown = Buffer.concat([Buffer.from('0a0174', 'hex'), Buffer.from('f2060461626364', 'hex')]);
  await channel.unary(`/${SERVICE}/GetTopicRoute`, grown, soon());
  expect(topic).toBe('t');
});

test('a service or message that does not exist is an incomplete installation', () => {
  expect(() => loadService('raftmq.namesrv.v1.Nothing')).toThrow(
    expect.objectContaining({ code: 'CONFIG_INVALID' }),
  );
  expect(() => loadMessage('raftmq.nowhere.v1.Thing')).toThrow(
    expect.objectContaining({ code: 'CONFIG_INVALID' }),
  );
});
