import { describe, expect, it } from '@jest/globals';
import { createPrng } from '@raftmq/base';
import { type Message, type TransportReceiver } from '@raftmq/raft';
import { SimClock } from './clock.js';
import { EventHeap, type Life, type SimEvent } from './event-heap.js';
import { SimNetwork, type NetworkTimes } from './network.js';
import { Violation, World } from './world.js';

const life = (node: number): Life => ({ node, alive: true, pausedUntilMs: 0 });

describe('EventHeap', () => {
  it('gives events by time, then in the order they came', () => {
    const random = createPrng(3);
    const heap = new EventHeap();
    const events = Array.from({ length: 500 }, (_, sequence): SimEvent => {
      return { atMs: random.integer(0, 40), sequence, life: null, label: '', mark: 0, run: null };
    });
    for (const event of events) heap.push(event);
    const sorted = [...events].sort((a, b) => a.atMs - b.atMs || a.sequence - b.sequence);
    expect(Array.from({ length: 500 }, () => heap.pop())).toEqual(sorted);
    expect(heap.pop()).toBeUndefined();
  });
});

describe('World', () => {
  it('lets every promise settle before the next event, however long the chain', async () => {
    const world = new World(null);
    const seen: string[] = [];
    world.schedule(1, null, 'a', () => {
      let chain = Promise.resolve();
      for (let i = 0; i < 100; i++) chain = chain.then(async () => undefined);
      void chain.then(() => seen.push('chain'));
    });
    world.schedule(1, null, 'b', () => seen.push('b'));
    await world.run(() => false);
    expect(seen).toEqual(['chain', 'b']);
    expect(world.nowMs).toBe(1);
  });

  it('lets them settle before the first event, wherever it is called from', async () => {
    const order = (start: (run: () => void) => void): Promise<string[]> =>
      new Promise((resolve) => {
        start(() => {
          const world = new World(null);
          const seen: string[] = [];
          void (async () => {
            for (let i = 0; i < 10; i++) await Promise.resolve();
            world.schedule(1, null, 'a', () => seen.push('a'));
          })();
          world.schedule(2, null, 'b', () => seen.push('b'));
          void world.run(() => false).then(() => resolve(seen));
        });
      });
    expect(await order((run) => setImmediate(run))).toEqual(['a', 'b']);
    expect(await order((run) => queueMicrotask(run))).toEqual(['a', 'b']);
  });

  it('holds back events of a paused process, in order, and drops those of a dead one', async () => {
    const world = new World(null);
    const [paused, dead] = [life(0), life(1)];
    const seen: string[] = [];
    world.schedule(5, paused, 'x', () => seen.push(`x ${world.nowMs}`));
    world.schedule(6, paused, 'y', () => seen.push(`y ${world.nowMs}`));
    world.schedule(5, dead, 'z', () => seen.push('z'));
    paused.pausedUntilMs = 30;
    dead.alive = false;
    await world.run(() => false);
    expect(seen).toEqual(['x 30', 'y 30']);
  });

  it('ends with the first violation, whoever catches it', async () => {
    const world = new World(null);
    world.schedule(1, null, 'bad', () => {
      try {
        world.violate('first', 'one');
      } catch {
        world.report('second', 'two');
      }
    });
    world.schedule(2, null, 'never', () => world.violate('third', 'three'));
    const error: unknown = await world.run(() => false).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Violation);
    expect((error as Violation).invariant).toBe('first');
    expect(world.nowMs).toBe(1);
  });

  it('hashes what happened and when', async () => {
    const hash = async (delayMs: number, mark: number): Promise<number> => {
      const world = new World(null);
      world.schedule(delayMs, null, 'a', () => undefined, mark);
      await world.run(() => false);
      return world.hash;
    };
    expect(await hash(1, 1)).toBe(await hash(1, 1));
    expect(await hash(1, 1)).not.toBe(await hash(2, 1));
    expect(await hash(1, 1)).not.toBe(await hash(1, 2));
  });
});

describe('SimClock', () => {
  it('drifts, jumps only on the wall, and fires timers by its own time', async () => {
    const world = new World(null);
    const skew = { rate: 2, wallOffsetMs: 0 };
    const clock = new SimClock(world, life(0), skew, 1000);
    const wallMs = clock.wallMs();
    let firedAtMs = 0;
    clock.setTimer(100, () => {
      firedAtMs = world.nowMs;
    });
    const cancel = clock.setTimer(10, () => world.violate('timer', 'a cancelled timer fired'));
    cancel();
    await world.run(() => false);
    expect(firedAtMs).toBe(50);
    expect(clock.monotonicMs()).toBe(1100);
    skew.wallOffsetMs = -3_600_000;
    expect(clock.wallMs()).toBe(wallMs + 50 - 3_600_000);
    expect(clock.monotonicMs()).toBe(1100);
  });
});

describe('SimNetwork', () => {
  const calm: NetworkTimes = {
    latencyMinMs: 1,
    latencyMeanMs: 5,
    loss: 0,
    duplicates: 0,
    reorders: false,
    reconnectMs: 4,
  };
  const message = (to: number, term: number): Message => ({
    kind: 'timeout-now',
    from: 0,
    to,
    term,
  });

  async function pair(times: NetworkTimes) {
    const world = new World(null);
    const network = new SimNetwork(world, createPrng(7), times, [0, 1]);
    const seen: string[] = [];
    const lives = [life(0), life(1)] as const;
    const receiver = (node: number): TransportReceiver => ({
      received: ({ term }) => seen.push(`n${node} got ${term}`),
      peerConnected: (peer) => seen.push(`n${node} up n${peer}`),
      peerLost: (peer) => seen.push(`n${node} lost n${peer}`),
      standing: () => undefined,
    });
    const transports = [network.transport(lives[0]), network.transport(lives[1])] as const;
    await transports[0].start(receiver(0));
    await transports[1].start(receiver(1));
    await world.run(() => false);
    return { world, network, seen, transports, lives, receiver };
  }

  it('connects, and keeps the order of a stream', async () => {
    const { world, seen, transports } = await pair(calm);
    expect(seen.splice(0).sort()).toEqual(['n0 up n1', 'n1 up n0']);
    expect(transports[0].isConnected(1)).toBe(true);
    for (let term = 1; term <= 20; term++) transports[0].send(message(1, term));
    await world.run(() => false);
    expect(seen).toEqual(Array.from({ length: 20 }, (_, i) => `n1 got ${i + 1}`));
  });

  it('swallows in drop mode, keeps back in hold mode, loses with the connection', async () => {
    const { world, network, seen, transports } = await pair(calm);
    seen.length = 0;
    network.setMode(0, 1, 'drop');
    transports[0].send(message(1, 1));
    network.setMode(0, 1, 'hold');
    transports[0].send(message(1, 2));
    await world.run(() => false);
    expect(seen).toEqual([]);
    network.setMode(0, 1, 'open');
    await world.run(() => false);
    expect(seen.splice(0)).toEqual(['n1 got 2']);
    transports[0].send(message(1, 3));
    network.reset(0, 1);
    expect(transports[0].isConnected(1)).toBe(false);
    transports[0].send(message(1, 4));
    await world.run(() => false);
    expect(seen.filter((line) => line.includes('got'))).toEqual([]);
    expect(seen).toContain('n0 up n1');
    expect(transports[0].isConnected(1)).toBe(true);
  });

  it('tells peers of a killed process, and not of one that lost power until it is back', async () => {
    for (const noticed of [true, false]) {
      const { world, network, seen, lives, receiver } = await pair(calm);
      seen.length = 0;
      lives[1].alive = false;
      network.nodeDown(1, noticed);
      await world.run(() => false);
      expect(seen).toEqual(noticed ? ['n0 lost n1'] : []);
      await network.transport(life(1)).start(receiver(1));
      await world.run(() => false);
      expect(seen.filter((line) => line === 'n0 up n1')).toHaveLength(1);
    }
  });

  it('doubles and reorders only when the seed says so', async () => {
    const { world, network, seen, transports } = await pair({
      ...calm,
      duplicates: 0.5,
      reorders: true,
    });
    seen.length = 0;
    for (let term = 1; term <= 50; term++) transports[0].send(message(1, term));
    await world.run(() => false);
    expect(seen.length).toBeGreaterThan(55);
    const terms = seen.map((line) => Number(line.split(' ')[2]));
    expect(terms).not.toEqual([...terms].sort((a, b) => a - b));
    network.heal();
    seen.length = 0;
    for (let term = 1; term <= 50; term++) transports[0].send(message(1, term));
    await world.run(() => false);
    expect(seen).toEqual(Array.from({ length: 50 }, (_, i) => `n1 got ${i + 1}`));
  });
});
