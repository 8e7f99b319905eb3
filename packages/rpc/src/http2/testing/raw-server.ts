import { createServer, type AddressInfo, type Server } from 'node:net';
import { ANSWER_OK, ANSWER_START } from '../answer-blocks.js';
import { frameFlag, frameType, PREFACE } from '../protocol.js';
import { settingsFrame } from '../settings.js';
import { grpcMessage, rawFrame, RawPeer, type ReceivedFrame } from './raw-peer.js';

/** HEADERS with these fields, none of which the client is to keep. */
export function headers(streamId: number, block: Buffer, ends = false): Buffer {
  const flags = frameFlag.END_HEADERS | (ends ? frameFlag.END_STREAM : 0);
  return rawFrame(frameType.HEADERS, flags, streamId, block);
}

/** A whole answer with one message. */
export function answerFrames(streamId: number, body: Buffer | string): Buffer {
  return Buffer.concat([
    headers(streamId, ANSWER_START),
    rawFrame(frameType.DATA, 0, streamId, grpcMessage(body)),
    headers(streamId, ANSWER_OK, true),
  ]);
}

/** A server that says what its test wants, to one connection after another. */
export class RawServer {
  readonly peers: RawPeer[] = [];
  /** What each connection is told first. */
  greeting: Buffer = settingsFrame([]);
  /** Is asked about each new connection. */
  welcome: (peer: RawPeer) => void = () => undefined;
  readonly #server: Server;

  static async start(host = '127.0.0.1', port = 0): Promise<RawServer> {
    const raw = new RawServer();
    await new Promise<void>((resolve) => raw.#server.listen(port, host, resolve));
    return raw;
  }

  private constructor() {
    this.#server = createServer({ noDelay: true }, (socket) => {
      const peer = new RawPeer(socket, PREFACE.length);
      this.peers.push(peer);
      if (this.greeting.length > 0) peer.send(this.greeting);
      this.welcome(peer);
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Waits for a connection, at most 5 s. */
  async peer(index: number): Promise<RawPeer> {
    const endsAt = Date.now() + 5_000;
    while (this.peers.length <= index) {
      if (Date.now() > endsAt) throw new Error(`connection ${index} never came`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    return this.peers[index]!;
  }

  async close(): Promise<void> {
    for (const { socket } of this.peers) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Waits until this call has come. */
export function requested(peer: RawPeer, streamId: number): Promise<unknown> {
  const fits = (frame: ReceivedFrame): boolean =>
    frame.type === frameType.HEADERS && frame.streamId === streamId;
  return peer.frame(`the call ${streamId}`, fits);
}

/** Calls in the order in which they came. */
export function callIds(peer: RawPeer): number[] {
  return peer.frames
    .filter(({ type }) => type === frameType.HEADERS)
    .map(({ streamId }) => streamId);
}

/** Everything that the client had to say to what it got so far has come. */
export async function settle(peer: RawPeer): Promise<void> {
  const opaque = Buffer.from(`settle${String(peer.frames.length % 100).padStart(2, '0')}`);
  peer.send(rawFrame(frameType.PING, 0, 0, opaque));
  const { ACK } = frameFlag;
  await peer.frame('PING', ({ flags, payload }) => flags === ACK && payload.equals(opaque));
}
