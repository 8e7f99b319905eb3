import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import { nodeDisk, silentLogger, systemClock } from '@raftmq/base';
import { ENTRY_HEADER_SIZE_BYTES, entryType, sealEntry } from '../core/entry.js';
import { type AppendRequest, type Message, type NodeId } from '../core/types.js';
import { PeerBook } from '../log/peer-book.js';
import { encodeHead } from './codec.js';
import { dial, type Connection } from './connection.js';
import { newFrame, sealFrame } from './frame.js';
import {
  decodeAnswer,
  encodeAnswer,
  encodeHello,
  encodeStanding,
  type HelloAnswer,
  type Identity,
} from './hello.js';
import { TcpTransport, type TcpTransportOptions } from './tcp-transport.js';

const closers: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface Node {
  readonly transport: TcpTransport;
  readonly received: Message[];
  /** `+1` connected to node 1, `-1` lost it. */
  readonly events: string[];
  readonly standings: boolean[];
}

/** A new book on a disk of its own; `directory` brings an old one back. */
async function openBook(
  nodeId: NodeId,
  peers: ReadonlyMap<NodeId, string>,
  directory = mkdtempSync(join(tmpdir(), 'raftmq-book-')),
): Promise<PeerBook> {
  const book = await PeerBook.open({
    disk: nodeDisk,
    directory,
    logger: silentLogger,
    mustExist: false,
    peers: [...peers.keys()].filter((peer) => peer !== nodeId),
    incarnation: () => basename(directory),
    session: `session ${sessions++}`,
    onFailure: (error) => {
      throw error;
    },
  });
  closers.push(async () => {
    await book.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return book;
}
let sessions = 0;

async function startNode(
  nodeId: NodeId,
  peers: Map<NodeId, string>,
  options: Partial<TcpTransportOptions> = {},
): Promise<Node> {
  const transport = new TcpTransport({
    cluster: 'c',
    group: 'g',
    nodeId,
    book: await openBook(nodeId, peers),
    hasLog: () => false,
    host: '127.0.0.1',
    port: 0,
    peers,
    logger: silentLogger,
    ...options,
  });
  const node: Node = { transport, received: [], events: [], standings: [] };
  await transport.start({
    received: (message) => void node.received.push(message),
    peerConnected: (peer) => void node.events.push(`+${peer}`),
    peerLost: (peer) => void node.events.push(`-${peer}`),
    standing: (takesPart) => void node.standings.push(takesPart),
  });
  closers.push(() => transport.stop());
  return node;
}

/** Two nodes that know each other, connected. */
async function startPair(
  options: Partial<TcpTransportOptions> = {},
): Promise<{ a: Node; b: Node; addresses: Map<NodeId, string>[] }> {
  const addresses = [new Map<NodeId, string>(), new Map<NodeId, string>()];
  // Node 0 dials nothing until it learns the address: a port of its own choice would be somebody else's.
  const b = await startNode(1, addresses[1]!.set(0, '127.0.0.1:1'), options);
  const a = await startNode(0, addresses[0]!.set(1, address(b)), options);
  addresses[1]!.set(0, address(a));
  await until(() => a.transport.isConnected(1) && b.transport.isConnected(0), 'both connected');
  return { a, b, addresses };
}

const address = (node: Node): string => `127.0.0.1:${node.transport.port}`;

async function until(holds: () => boolean, what: string): Promise<void> {
  const endsAt = Date.now() + 8_000;
  while (!holds()) {
    if (Date.now() > endsAt) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const vote = (from: NodeId, to: NodeId, term: number): Message => ({
  kind: 'vote-response',
  from,
  to,
  term,
  pre: false,
  granted: true,
  forgetful: false,
});

function append(index: number, payloadBytes: number): AppendRequest {
  const frame = Buffer.alloc(ENTRY_HEADER_SIZE_BYTES + payloadBytes, index);
  const sealed = sealEntry(frame, {
    index,
    term: 1,
    position: index,
    type: entryType.records,
    storeTimestampMs: 1,
    recordCount: 1,
  });
  return {
    kind: 'append-request',
    from: 0,
    to: 1,
    term: 1,
    prevIndex: index - 1,
    prevTerm: 1,
    commitIndex: 0,
    sentAtMs: 1,
    readRound: 0,
    entries: [sealed],
  };
}

describe('two replicas', () => {
  test('exchange messages in order, large entries too', async () => {
    const { a, b } = await startPair();
    const sent = Array.from({ length: 40 }, (_, i) => append(i + 1, i === 20 ? 9_000_000 : 3_000));
    for (const message of sent) a.transport.send(message);
    b.transport.send(vote(1, 0, 5));
    await until(() => b.received.length === 40 && a.received.length === 1, 'all arrived');
    expect(a.received).toEqual([vote(1, 0, 5)]);
    expect(b.received.map((message) => (message as AppendRequest).entries[0]!.index)).toEqual(
      sent.map((_, i) => i + 1),
    );
    expect(
      (b.received[20] as AppendRequest).entries[0]!.frame.equals(sent[20]!.entries[0]!.frame),
    ).toBe(true);
    expect(a.transport.probes.get(1)).toMatchObject({ sentMessages: 40, connects: 1, refused: 0 });
    expect(b.transport.probes.get(0)?.receivedBytes).toBe(a.transport.probes.get(1)?.sentBytes);
  });

  test('hear at once that the other is gone, drop meanwhile, and connect again when it is back', async () => {
    const { a, b, addresses } = await startPair();
    await b.transport.stop();
    await until(() => a.events.includes('-1'), 'a heard of it');
    expect(a.transport.isConnected(1)).toBe(false);
    a.transport.send(vote(0, 1, 1));
    expect(a.transport.probes.get(1)?.droppedNotConnected).toBe(1);
    const again = await startNode(1, addresses[1]!);
    addresses[0]!.set(1, address(again));
    await until(
      () => a.transport.isConnected(1) && again.transport.isConnected(0),
      'connected again',
    );
    expect(a.events).toEqual(['+1', '-1', '+1']);
    a.transport.send(vote(0, 1, 2));
    await until(() => again.received.length === 1, 'the message arrived');
    expect(again.received).toEqual([vote(0, 1, 2)]);
  });

  test('drop what a peer does not read, within the memory cap', async () => {
    const deaf = await startDeaf();
    const a = await startNode(0, new Map([[1, deaf]]), { limits: { pendingBytesMax: 1_000_000 } });
    await until(() => a.transport.isConnected(1), 'connected');
    const probe = a.transport.probes.get(1)!;
    const message = append(1, 100_000);
    // The kernels at both ends take some megabytes before anything has to wait here.
    for (let i = 0; i < 1_000 && probe.droppedOverCap === 0; i++) a.transport.send(message);
    expect(probe.sentMessages).toBeGreaterThan(9);
    expect(probe.droppedOverCap).toBe(1);
    for (let i = 0; i < 10; i++) a.transport.send(message);
    expect(probe.droppedOverCap).toBe(11);
    expect(a.transport.isConnected(1)).toBe(true);
  });

  test('give up a peer that is silent, and nobody else', async () => {
    const limits = { keepaliveMs: 200 };
    const live = await startNode(2, new Map([[0, '127.0.0.1:1']]), { limits });
    const peers = new Map([
      [1, await startDeaf()],
      [2, address(live)],
    ]);
    const a = await startNode(0, peers, { limits });
    await until(() => a.events.filter((event) => event === '-1').length === 2, 'given up twice');
    expect(a.transport.probes.get(2)?.connects).toBe(1);
    expect(a.transport.isConnected(2)).toBe(true);
  });
});

const accepted: HelloAnswer = {
  refused: '',
  incarnation: 'disk-1',
  session: 's',
  version: 1,
  known: true,
  hasLog: false,
};

/** A node 1 that accepts every hello, and then neither reads nor speaks. */
async function startDeaf(): Promise<string> {
  const server = createServer((socket) => {
    socket.once('data', () => {
      socket.write(encodeAnswer(accepted));
      socket.pause();
    });
    socket.on('error', () => undefined);
    closers.push(() => void socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => void server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A peer that does what the test wants. */
interface Stranger {
  readonly connection: Connection;
  readonly answers: HelloAnswer[];
  /** Why it was closed; undefined while open. */
  readonly end: () => Error | null | undefined;
}

function stranger(node: Node): Stranger {
  const connection = dial(address(node), { clock: systemClock, keepaliveMs: 2_000 });
  closers.push(() => connection.destroy());
  const answers: HelloAnswer[] = [];
  let end: Error | null | undefined;
  connection.listen({
    frame: (kind, control) => void answers.push(decodeAnswer(kind, control)),
    closed: (failure) => (end = failure),
  });
  return { connection, answers, end: () => end };
}

const peer: Identity = {
  cluster: 'c',
  group: 'g',
  nodeId: 1,
  incarnation: 'disk-1',
  session: 's1',
  admittedAt: 0,
  starts: 1,
};
/** Knows a node 1 that never listens. */
const alone = (options: Partial<TcpTransportOptions> = {}): Promise<Node> =>
  startNode(0, new Map([[1, '127.0.0.1:1']]), options);

describe('a hello is refused with the reason, and no message behind it is read:', () => {
  test.each([
    ['cluster', { ...peer, cluster: 'other' }, 0, 'this is cluster "c", not "other"'],
    ['group', { ...peer, group: 'other' }, 0, 'this is group "g", not "other"'],
    ['called node', peer, 2, 'this is node 0, not 2'],
    ['own node id', { ...peer, nodeId: 0 }, 0, 'two processes have the same node id'],
    ['unknown node', { ...peer, nodeId: 7 }, 0, 'node 7 is not in the peers list'],
    ['no session', { ...peer, session: '' }, 0, 'session is empty'],
    ['long session', { ...peer, session: 's'.repeat(65) }, 0, 'longer than 64 bytes'],
    ['long incarnation', { ...peer, incarnation: 'ä'.repeat(33) }, 0, 'longer than 64 bytes'],
  ])('%s', async (_name, identity, to, reason) => {
    const node = await alone();
    const { connection, answers, end } = stranger(node);
    connection.send(encodeHello(identity, to), []);
    connection.send(encodeHead(vote(identity.nodeId, 0, 9)), []);
    await until(() => end() !== undefined, 'closed');
    expect(answers).toEqual([
      expect.objectContaining({ refused: expect.stringContaining(reason) }),
    ]);
    expect(end()?.message).toContain(reason);
    expect(node.received).toEqual([]);
    expect(node.transport.refusedStrangers).toBe(1);
  });

  test('a second process with the same node id, while the first one lives', async () => {
    const node = await alone();
    const first = stranger(node);
    first.connection.send(encodeHello(peer, 0), []);
    await until(() => first.answers.length === 1, 'accepted');
    const second = stranger(node);
    second.connection.send(encodeHello({ ...peer, session: 's2' }, 0), []);
    await until(() => second.end() !== undefined, 'closed');
    expect(second.answers[0]?.refused).toContain('another process with node id 1');
    first.connection.send(encodeHead(vote(1, 0, 1)), []);
    await until(() => node.received.length === 1, 'the first one goes on');
  });
});

test('the same process may call again: its newer connection counts', async () => {
  const node = await alone();
  const first = stranger(node);
  first.connection.send(encodeHello(peer, 0), []);
  await until(() => first.answers.length === 1, 'accepted');
  const second = stranger(node);
  second.connection.send(encodeHello(peer, 0), []);
  await until(
    () => second.answers.length === 1 && first.end() !== undefined,
    'the first one is closed',
  );
  second.connection.send(encodeHead(vote(1, 0, 1)), []);
  await until(() => node.received.length === 1, 'the message arrived');
});

describe('a connection is closed at', () => {
  const bent = (): Buffer => {
    const message = append(1, 50);
    const body = Buffer.from(message.entries[0]!.frame);
    body[body.length - 1]! ^= 1;
    return Buffer.concat([encodeHead({ ...message, from: 1, to: 0 }), body]);
  };
  test.each([
    ['bytes that are no frame', Buffer.alloc(40, 'GET / HTTP/1.1'), /not a raft frame/],
    [
      'a message in the name of another',
      encodeHead(vote(2, 0, 1)),
      /from 2 to 0 on the connection of node 1/,
    ],
    ['an absurd term', encodeHead(vote(1, 0, 2 ** 20 + 1)), /term 1048577 is absurd/],
    ['a message of a newer version', sealFrame(newFrame(77, 8, 0)), /VERSION_UNSUPPORTED: .*newer/],
    ['a damaged entry', bent(), /entry 1 is damaged/],
    ['a frame over the limit', newFrame(18, 60, 2_000_000), /2000000 bytes is over the limit/],
  ])('%s', async (_name, frame, reason) => {
    const node = await alone({ limits: { bodySizeBytesMax: 1_000_000 } });
    const { connection, answers, end } = stranger(node);
    connection.send(encodeHello(peer, 0), []);
    await until(() => answers.length === 1, 'accepted');
    connection.send(frame, []);
    connection.send(encodeHead(vote(1, 0, 1)), []);
    await until(() => end() !== undefined, 'closed');
    expect(end()?.message).toMatch(reason);
    expect(node.received).toEqual([]);
  });

  test('a message before the hello, and silence', async () => {
    const node = await alone({ limits: { helloTimeoutMs: 50 } });
    const early = stranger(node);
    early.connection.send(encodeHead(vote(1, 0, 1)), []);
    const silent = stranger(node);
    await until(() => early.end() !== undefined && silent.end() !== undefined, 'both closed');
    expect(early.end()?.message).toContain('no hello');
    expect(silent.end()?.message).toContain('in time');
    expect(node.received).toEqual([]);
  });
});

test('a peer that calls with a new session makes us leave the connection to its old process', async () => {
  // Node 1 does not call back, so that only our own connection to it stands.
  const old = await startNode(1, new Map([[0, '127.0.0.1:1']]));
  const node = await startNode(0, new Map([[1, address(old)]]));
  await until(() => node.transport.isConnected(1), 'connected');
  const restarted = stranger(node);
  restarted.connection.send(encodeHello({ ...peer, session: 'after the restart' }, 0), []);
  await until(
    () => node.events.length >= 2 && restarted.answers.length === 1,
    'the old connection is left',
  );
  expect(node.events.slice(0, 2)).toEqual(['+1', '-1']);
  expect(restarted.answers.map((answer) => answer.refused)).toEqual(['']);
});

describe('who is known as what (R22):', () => {
  const hello = async (node: Node, life: Partial<Identity>): Promise<HelloAnswer> => {
    const { connection, answers, end } = stranger(node);
    connection.send(encodeHello({ ...peer, ...life }, 0), []);
    await until(() => answers.length === 1, 'answered');
    connection.close();
    await until(() => end() !== undefined, 'gone');
    return answers[0]!;
  };

  test('another data directory under the same node id is accepted, and told that it is another', async () => {
    const node = await alone();
    expect(await hello(node, {})).toMatchObject({ refused: '', known: true, hasLog: false });
    const other = { incarnation: 'disk-new', session: 's2' };
    expect(await hello(node, other)).toMatchObject({ refused: '', known: false });
    expect(await hello(node, { ...other, admittedAt: 7 })).toMatchObject({ known: true });
    expect(await hello(node, { session: 's3', starts: 9 })).toMatchObject({ known: false });
  });

  test('an admission told over a standing connection counts for the next hello', async () => {
    const node = await alone();
    await hello(node, {});
    const { connection, answers } = stranger(node);
    const other = { ...peer, incarnation: 'disk-new', session: 's2' };
    connection.send(encodeHello(other, 0), []);
    await until(() => answers.length === 1, 'answered');
    expect(answers[0]!.known).toBe(false);
    connection.send(encodeStanding(12), []);
    connection.send(encodeHead(vote(1, 0, 1)), []);
    await until(() => node.received.length === 1, 'both were read');
    connection.close();
    expect(await hello(node, {})).toMatchObject({ known: false });
  });

  test('two new replicas take part when they know each other', async () => {
    const { a, b } = await startPair();
    await until(() => a.standings.length === 1 && b.standings.length === 1, 'both take part');
    expect([...a.standings, ...b.standings]).toEqual([true, true]);
  });

  test('a new replica among others that have a log does not take part by itself', async () => {
    const { a, b } = await startPair({ hasLog: () => true });
    expect([...a.standings, ...b.standings]).toEqual([]);
  });
});
