/**
 * CPU that raft's transport costs, per MiB of entries, on the sending and on the receiving side, each in a process of
 * its own; and the same bytes over bare sockets, for comparison.
 *
 *   npm run build && node .build/test/bench/raft-transport.js [--frame-kib 100] [--mib 2000]
 */
import { fork, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { nodeDisk, silentLogger } from '@raftmq/base';
import {
  ENTRY_HEADER_SIZE_BYTES,
  entryType,
  PeerBook,
  sealEntry,
  TcpTransport,
  type AppendRequest,
  type NodeId,
} from '@raftmq/raft';

type Carrier = 'bare' | 'transport';

interface Settings {
  readonly carrier: Carrier;
  readonly role: 'sender' | 'receiver';
  readonly frameBytes: number;
  readonly frames: number;
  /** Where the receiver listens; for the sender only. */
  readonly address: string;
}

type Report =
  | { readonly kind: 'listening'; readonly address: string }
  | { readonly kind: 'done'; readonly cpuMicros: number; readonly elapsedMs: number };

/** Frames under way at most, so that nothing is dropped and the sockets stay busy. */
const WINDOW_FRAMES = 64;

function tell(report: Report): void {
  process.send!(report);
}

/** CPU and time from the first call on. */
function stopwatch(): () => Report {
  const cpu = process.cpuUsage();
  const startedAtMs = performance.now();
  return () => {
    const { user, system } = process.cpuUsage(cpu);
    return { kind: 'done', cpuMicros: user + system, elapsedMs: performance.now() - startedAtMs };
  };
}

function appendOf(settings: Settings): AppendRequest {
  const frame = Buffer.alloc(settings.frameBytes, 7);
  const { frameBytes } = settings;
  const position = 0;
  const meta = { index: 1, term: 1, position, storeTimestampMs: 1, recordCount: 1 };
  const entry = sealEntry(frame, { ...meta, type: entryType.records });
  if (frameBytes < ENTRY_HEADER_SIZE_BYTES) throw new Error('a frame has a header');
  return {
    kind: 'append-request',
    from: 0,
    to: 1,
    term: 1,
    prevIndex: 0,
    prevTerm: 0,
    commitIndex: 0,
    entries: [entry],
    sentAtMs: 1,
    readRound: 0,
  };
}

async function runTransport(settings: Settings): Promise<void> {
  const { role, frames, address } = settings;
  const nodeId: NodeId = role === 'sender' ? 0 : 1;
  const peers = new Map([[1 - nodeId, role === 'sender' ? address : '127.0.0.1:1']]);
  const transport = new TcpTransport({
    cluster: 'bench',
    group: 'g',
    nodeId,
    book: await openBook(nodeId),
    hasLog: () => false,
    host: '127.0.0.1',
    port: 0,
    peers,
    logger: silentLogger,
  });
  let received = 0;
  let elapsed: (() => Report) | null = null;
  await transport.start({
    received: () => {
      elapsed ??= stopwatch();
      if (++received % WINDOW_FRAMES === 0) process.send!({ kind: 'taken', frames: received });
      if (received === frames) tell(elapsed());
    },
    peerConnected: () => (role === 'sender' ? send() : undefined),
    peerLost: () => undefined,
    standing: () => undefined,
  });
  tell({ kind: 'listening', address: `127.0.0.1:${transport.port}` });

  function send(): void {
    const message = appendOf(settings);
    feed(frames, () => transport.send(message));
  }
}

/** What the two sides know of each other: only this run. */
function openBook(nodeId: NodeId): Promise<PeerBook> {
  const directory = mkdtempSync(join(tmpdir(), 'raftmq-bench-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  process.on('SIGTERM', () => process.exit());
  return PeerBook.open({
    disk: nodeDisk,
    directory,
    logger: silentLogger,
    mustExist: false,
    peers: [1 - nodeId],
    incarnation: () => `disk-${nodeId}`,
    session: 'bench',
    onFailure: (error) => {
      throw error;
    },
  });
}

/** Sends `frames` frames, never more than twice the window ahead of what the parent says was taken. */
function feed(frames: number, sendOne: () => void): void {
  const elapsed = stopwatch();
  let sent = 0;
  let taken = 0;
  const more = (): void => {
    while (sent < frames && sent < taken + 2 * WINDOW_FRAMES) {
      sendOne();
      sent++;
    }
  };
  process.on('message', (message: { frames: number }) => {
    taken = message.frames;
    more();
    if (taken + WINDOW_FRAMES > frames) tell(elapsed());
  });
  more();
}

async function runBare(settings: Settings): Promise<void> {
  const { role, frames, frameBytes, address } = settings;
  if (role === 'sender') {
    const port = Number(address.split(':')[1]);
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    const [head, body] = [Buffer.alloc(16), Buffer.alloc(frameBytes, 7)];
    socket.on('connect', () =>
      feed(frames, () => {
        socket.cork();
        socket.write(head);
        socket.write(body);
        socket.uncork();
      }),
    );
    return;
  }
  const server = createServer({ noDelay: true }, (socket) => take(socket, frames, frameBytes));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  tell({ kind: 'listening', address: `127.0.0.1:${(server.address() as AddressInfo).port}` });
}

/** Copies each frame into a Buffer of its own, as a receiver has to that keeps it. */
function take(socket: Socket, frames: number, frameBytes: number): void {
  const size = 16 + frameBytes;
  let frame = Buffer.allocUnsafe(size);
  let fill = 0;
  let received = 0;
  let elapsed: (() => Report) | null = null;
  socket.on('data', (chunk) => {
    elapsed ??= stopwatch();
    for (let at = 0; at < chunk.length;) {
      const taken = chunk.copy(frame, fill, at, Math.min(chunk.length, at + size - fill));
      at += taken;
      fill += taken;
      if (fill < size) continue;
      frame = Buffer.allocUnsafe(size);
      fill = 0;
      if (++received % WINDOW_FRAMES === 0) process.send!({ kind: 'taken', frames: received });
      if (received === frames) tell(elapsed());
    }
  });
}

/** Starts one side; `onTaken` hears how many frames the receiver has. */
function side(settings: Settings, onTaken: (frames: number) => void) {
  const child: ChildProcess = fork(__filename, [JSON.stringify(settings)]);
  const waiting = new Map<string, (report: Report) => void>();
  const reports = new Map<string, Report>();
  child.on('message', (message: Report | { kind: 'taken'; frames: number }) => {
    if (message.kind === 'taken') return onTaken(message.frames);
    reports.set(message.kind, message);
    waiting.get(message.kind)?.(message);
  });
  const when = (kind: Report['kind']): Promise<Report> =>
    new Promise((resolve) => {
      const already = reports.get(kind);
      if (already === undefined) waiting.set(kind, resolve);
      else resolve(already);
    });
  return { child, when };
}

async function measure(carrier: Carrier, frameBytes: number, frames: number): Promise<void> {
  const receiver = side(
    { carrier, role: 'receiver', frameBytes, frames, address: '' },
    (taken) => void sender?.child.send({ frames: taken }),
  );
  const listening = await receiver.when('listening');
  if (listening.kind !== 'listening') return;
  const { address } = listening;
  const sender = side({ carrier, role: 'sender', frameBytes, frames, address }, () => undefined);
  const [sent, taken] = await Promise.all([sender.when('done'), receiver.when('done')]);
  sender.child.kill();
  receiver.child.kill();
  if (sent.kind !== 'done' || taken.kind !== 'done') return;
  const mib = (frameBytes * frames) / 1024 ** 2;
  const perMib = (report: { readonly cpuMicros: number }): number => report.cpuMicros / mib;
  const rate = mib / (taken.elapsedMs / 1000);
  process.stdout.write(
    `${carrier.padEnd(10)} send ${perMib(sent).toFixed(0).padStart(5)} us/MiB   ` +
      `receive ${perMib(taken).toFixed(0).padStart(5)} us/MiB   ${rate.toFixed(0).padStart(5)} MiB/s\n`,
  );
}

async function main(): Promise<void> {
  const options = {
    'frame-kib': { type: 'string', default: '100' },
    mib: { type: 'string', default: '2000' },
    rounds: { type: 'string', default: '3' },
  } as const;
  const { values } = parseArgs({ options });
  const frameBytes = Number(values['frame-kib']) * 1024;
  const whole = Math.ceil((Number(values.mib) * 1024 ** 2) / frameBytes / WINDOW_FRAMES);
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const carrier of ['bare', 'transport'] as const) {
      await measure(carrier, frameBytes, whole * WINDOW_FRAMES);
    }
  }
}

const settings = process.argv[2];
if (process.send === undefined) {
  void main();
} else {
  const mine = JSON.parse(settings!) as Settings;
  void (mine.carrier === 'bare' ? runBare(mine) : runTransport(mine));
}
