import { afterEach, describe, expect, it } from '@jest/globals';
import { MqError } from '@raftmq/base';
import {
  encodeReceiveDeliveryTimestamp,
  encodeStatusResponse,
  OK_STATUS,
  statusCode,
} from '@raftmq/protocol';
import { RpcError, type CallSettings, type RpcChannel } from '@raftmq/rpc';
import { callContext, EdgeFixture, FakeWriter, settle } from '../testing/edge-fixture.js';
import { edgeCall, type EdgeCall } from '../handlers/edge-call.js';
import { peekStatusCode } from './status-peek.js';

const replicas = [0, 1, 2].map((nodeId) => ({ nodeId, host: `10.0.0.${nodeId}`, port: 8081 }));
const request = Buffer.from('the same bytes');
const ok = encodeStatusResponse(OK_STATUS);
const refused = encodeStatusResponse({ code: statusCode.HA_NOT_AVAILABLE, message: 'not me' });
const unavailable = (): RpcError => new RpcError('UNAVAILABLE', 'connection refused');

interface Made {
  readonly address: string;
  readonly path: string;
  readonly request: Buffer;
  readonly settings: CallSettings;
}

/** Answers by address: a value, a failure, or a promise of one. */
class FakePeers {
  readonly calls: Made[] = [];
  answers = new Map<string, (made: Made) => Promise<Buffer>>();
  streams = new Map<string, (made: Made) => AsyncIterable<Buffer>>();

  channel(address: string): RpcChannel {
    return {
      unary: (path: string, bytes: Buffer, settings: CallSettings) => {
        const made = { address, path, request: bytes, settings };
        this.calls.push(made);
        return this.answers.get(address)!(made);
      },
      serverStream: (path: string, bytes: Buffer, settings: CallSettings) => {
        const made = { address, path, request: bytes, settings };
        this.calls.push(made);
        return this.streams.get(address)!(made);
      },
    } as unknown as RpcChannel;
  }
}

let edge: EdgeFixture;
let peers: FakePeers;
function make(options: { holdMs?: number; inFlightMax?: number } = {}): void {
  peers = new FakePeers();
  edge = new EdgeFixture({ ...options, replicas, channel: (address) => peers.channel(address) });
}
afterEach(() => {
  edge.forwarder.close();
  edge.registry.close();
});

function call(
  headers: Record<string, string> = { 'x-mq-client-id': 'c', authorization: 'secret' },
  deadlineMs: number | null = null,
  signal?: AbortSignal,
): EdgeCall {
  return edgeCall(callContext('/p/M', headers, deadlineMs, signal), edge.clock.wallMs(), 60_000);
}
const local = (): Promise<Buffer> => Promise.reject(new MqError('HA_NOT_AVAILABLE'));
const unary = (of: EdgeCall = call(), atLeader = local) =>
  edge.forwarder.unary(of, request, 'broker-a', atLeader);
const lost = 'no leader of group broker-a answered in time';

describe('a call with one answer', () => {
  it('is answered here by a writable leader', async () => {
    make();
    expect(await unary(call(), () => Promise.resolve(ok))).toBe(ok);
    expect(peers.calls).toEqual([]);
  });

  it('goes to the leader with the same bytes, the headers of the client, and a count of hops', async () => {
    make();
    edge.follow(1);
    peers.answers.set('10.0.0.1:8081', () => Promise.resolve(ok));
    expect(await unary()).toBe(ok);
    expect(peers.calls).toHaveLength(1);
    const { path, request: sent, settings } = peers.calls[0]!;
    expect([path, sent]).toEqual(['/p/M', request]);
    expect(settings.headers).toEqual({
      'x-mq-client-id': 'c',
      'x-raftmq-forwarded': '1',
      'x-raftmq-peer': '10.0.0.9:5',
    });
    expect(settings.deadlineMs).toBe(edge.clock.wallMs() + 60_000 - 50);
  });

  it('makes one hop and no more', async () => {
    make();
    edge.follow(1);
    await expect(
      unary(call({ 'x-mq-client-id': 'c', 'x-raftmq-forwarded': '1' })),
    ).rejects.toMatchObject({ code: 'HA_NOT_AVAILABLE' });
    expect(peers.calls).toEqual([]);
  });

  it('waits for a leader that is elected, and then for it to become writable', async () => {
    make();
    edge.follow(null);
    const answer = unary(call(), () => Promise.resolve(ok));
    await edge.clock.advance(300);
    edge.messaging.role = { role: 'leader', term: 3, leaderId: 0, writable: false };
    await edge.clock.advance(300);
    edge.lead();
    await edge.clock.advance(60);
    expect(await answer).toBe(ok);
    expect(edge.probe.forwardHeld).toBe(1);
  });

  it.each([
    ['cannot be reached', () => Promise.reject(unavailable())],
    ['does not lead any more', () => Promise.resolve(refused)],
  ])('tries again when the leader %s, and finds the next one', async (_, first) => {
    make();
    edge.follow(1);
    peers.answers.set('10.0.0.1:8081', first);
    peers.answers.set('10.0.0.2:8081', () => Promise.resolve(ok));
    const answer = unary();
    await edge.clock.advance(120);
    edge.follow(2, 3);
    await edge.clock.advance(60);
    expect(await answer).toBe(ok);
    expect(peers.calls.map((made) => made.address).at(-1)).toBe('10.0.0.2:8081');
  });

  it('takes the call back from a leader that was replaced and does not answer, after a grace', async () => {
    make();
    edge.follow(1);
    peers.answers.set(
      '10.0.0.1:8081',
      ({ settings }) =>
        new Promise((_, reject) => {
          settings.signal!.addEventListener('abort', () =>
            reject(new RpcError('CANCELLED', 'cancelled')),
          );
        }),
    );
    peers.answers.set('10.0.0.2:8081', () => Promise.resolve(ok));
    const answer = unary();
    await edge.clock.advance(1_000);
    edge.follow(2, 3);
    await edge.clock.advance(200);
    expect(peers.calls).toHaveLength(1);
    await edge.clock.advance(300);
    expect(await answer).toBe(ok);
    expect(peers.calls.map((made) => made.address)).toEqual(['10.0.0.1:8081', '10.0.0.2:8081']);
  });

  it('moves on when leadership is lost here, and answers locally when it comes here', async () => {
    make();
    peers.answers.set('10.0.0.1:8081', () => Promise.reject(unavailable()));
    let attempts = 0;
    const answer = unary(call(), () => {
      attempts++;
      if (attempts > 1) return Promise.resolve(ok);
      edge.follow(1);
      return local();
    });
    await edge.clock.advance(100);
    expect(peers.calls.length).toBeGreaterThan(0);
    edge.lead();
    await edge.clock.advance(60);
    expect(await answer).toBe(ok);
  });

  it('gives up after the hold, and earlier when the deadline of the call is nearer', async () => {
    make({ holdMs: 1_000 });
    edge.follow(null);
    const slow = unary();
    const fast = unary(call({ 'x-mq-client-id': 'c' }, edge.clock.wallMs() + 300));
    const ends: string[] = [];
    slow.catch(() => ends.push('slow'));
    fast.catch(() => ends.push('fast'));
    await edge.clock.advance(400);
    expect(ends).toEqual(['fast']);
    await edge.clock.advance(800);
    await expect(slow).rejects.toThrow(lost);
    await expect(fast).rejects.toThrow(lost);
  });

  it('hands through what is no reason to try again', async () => {
    make();
    edge.follow(1);
    peers.answers.set('10.0.0.1:8081', () =>
      Promise.reject(new RpcError('DEADLINE_EXCEEDED', 'late')),
    );
    await expect(unary()).rejects.toMatchObject({ code: 'REQUEST_TIMEOUT' });
    const full = encodeStatusResponse({ code: statusCode.TOO_MANY_REQUESTS, message: 'full' });
    peers.answers.set('10.0.0.1:8081', () => Promise.resolve(full));
    expect(await unary()).toBe(full);
  });

  it('refuses more waiting calls than the limit', async () => {
    make({ inFlightMax: 2 });
    edge.follow(null);
    const waiting = [unary(), unary()].map((held) => held.catch(() => 'gone'));
    await settle();
    await expect(unary()).rejects.toMatchObject({ code: 'TOO_MANY_REQUESTS' });
    await edge.clock.advance(6_000);
    expect(await Promise.all(waiting)).toEqual(['gone', 'gone']);
    expect(edge.forwarder.inFlight).toBe(0);
  });

  it('holds nothing while the process stops', async () => {
    make();
    edge.follow(null);
    edge.forwarder.drain();
    await expect(unary()).rejects.toThrow(lost);
  });
});

describe('a call with a stream of answers', () => {
  const parts = [ok, Buffer.from([0x12, 0x00]), encodeReceiveDeliveryTimestamp(5)];
  async function* give(...of: readonly (Buffer | Error)[]): AsyncGenerator<Buffer> {
    for (const part of of) {
      if (!Buffer.isBuffer(part)) throw part;
      yield part;
    }
  }
  const stream = (writer: FakeWriter, of = call()) =>
    edge.forwarder.stream(of, request, 'broker-a', writer, () => local().then(() => undefined));

  it('passes every part on as it is', async () => {
    make();
    edge.follow(1);
    peers.streams.set('10.0.0.1:8081', () => give(...parts));
    const writer = new FakeWriter();
    await stream(writer);
    expect(writer.written).toEqual(parts);
  });

  it('starts again elsewhere as long as nothing was passed on', async () => {
    make();
    edge.follow(1);
    let attempt = 0;
    peers.streams.set('10.0.0.1:8081', () =>
      attempt++ === 0 ? give(refused) : give(unavailable()),
    );
    peers.streams.set('10.0.0.2:8081', () => give(...parts));
    const writer = new FakeWriter();
    const done = stream(writer);
    await edge.clock.advance(100);
    edge.follow(2, 3);
    await edge.clock.advance(60);
    await done;
    expect(attempt).toBeGreaterThan(1);
    expect(writer.written).toEqual(parts);
  });

  it('fails when it breaks in the middle', async () => {
    make();
    edge.follow(1);
    peers.streams.set('10.0.0.1:8081', () => give(ok, unavailable()));
    const writer = new FakeWriter();
    await expect(stream(writer)).rejects.toMatchObject({ code: 'HA_NOT_AVAILABLE' });
    expect(writer.written).toEqual([ok]);
  });

  it('is cancelled at the leader when the client goes', async () => {
    make();
    edge.follow(1);
    const client = new AbortController();
    let cancelled = false;
    peers.streams.set('10.0.0.1:8081', async function* ({ settings }) {
      yield ok;
      await new Promise<void>((resolve) =>
        settings.signal!.addEventListener('abort', () => resolve()),
      );
      cancelled = true;
      throw new RpcError('CANCELLED', 'cancelled');
    });
    const done = stream(new FakeWriter(), call({ 'x-mq-client-id': 'c' }, null, client.signal));
    await settle();
    client.abort();
    await done;
    expect(cancelled).toBe(true);
    expect(edge.forwarder.inFlight).toBe(0);
  });
});

describe('reading the status of an answer', () => {
  it('finds the code at the front, whatever follows', () => {
    expect(peekStatusCode(ok)).toBe(statusCode.OK);
    expect(peekStatusCode(encodeStatusResponse({ code: 40402, message: 'x'.repeat(300) }))).toBe(
      40402,
    );
  });

  it.each([
    [Buffer.alloc(0)],
    [encodeReceiveDeliveryTimestamp(1)],
    [Buffer.from([0x0a, 0x02, 0x12, 0x00])],
    [Buffer.from([0x0a, 0x80])],
  ])('finds none in %j', (bytes) => expect(peekStatusCode(bytes)).toBeNull());
});
