import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { FakeClock } from '../testing/edge-fixture.js';
import { peerHandlers } from '../handlers/peer-service.js';
import { ClientRegistry, type ClientStream } from './client-registry.js';

class FakeStream implements ClientStream {
  readonly sent: Buffer[] = [];
  reads = true;

  displace(): void {
    this.reads = false;
  }

  send(command: Buffer): boolean {
    if (this.reads) this.sent.push(command);
    return this.reads;
  }
}

let clock: FakeClock;
let registry: ClientRegistry;

beforeEach(() => {
  clock = new FakeClock();
  registry = new ClientRegistry({
    clock,
    clientsMax: 100,
    streamsMax: 1,
    expiryMs: 120_000,
    scanIntervalMs: 10_000,
    expired: () => undefined,
  });
});
afterEach(() => registry.close());

function producer(clientId: string, ...topics: readonly string[]): FakeStream {
  const stream = new FakeStream();
  registry.attach(clientId, stream);
  registry.seen(clientId, { clientType: 1, group: null, topics });
  return stream;
}

describe('producers that can be asked', () => {
  test('declared the topic, have a stream here, and live', async () => {
    producer('a', 'orders', 'other');
    producer('b', 'other');
    const gone = producer('c', 'orders');
    registry.detach('c', gone);
    registry.attach('d', new FakeStream());
    registry.seen('d', { clientType: 2, group: 'workers', topics: ['orders'] });
    expect(registry.producersOf('orders', 10)).toEqual(['a']);
    expect(registry.producersOf('other', 10)).toEqual(['a', 'b']);
    expect(registry.producersOf('other', 1)).toEqual(['a']);
    await clock.advance(100_000);
    registry.seen('b');
    await clock.advance(40_000);
    expect(registry.producersOf('other', 10)).toEqual(['b']);
  });

  test('are asked through the replica that holds their stream', () => {
    const stream = producer('a', 'orders');
    const { FindProducers, HandCommand } = peerHandlers(registry) as unknown as Record<
      string,
      { unary: (request: object) => object }
    >;
    expect(FindProducers!.unary({ topic: 'orders', countMax: 5 })).toEqual({ clientIds: ['a'] });
    const command = Buffer.from('command');
    expect(HandCommand!.unary({ clientId: 'a', command })).toEqual({ written: true });
    expect(stream.sent).toEqual([command]);
    expect(HandCommand!.unary({ clientId: 'b', command })).toEqual({ written: false });
    // A newer stream of the same client takes over.
    const newer = producer('a', 'orders');
    expect(HandCommand!.unary({ clientId: 'a', command })).toEqual({ written: true });
    expect([stream.sent.length, newer.sent.length]).toEqual([1, 1]);
    newer.reads = false;
    expect(HandCommand!.unary({ clientId: 'a', command })).toEqual({ written: false });
  });
});
