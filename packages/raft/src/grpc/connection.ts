import { RpcChannel, type RpcServer, type RpcStream } from '@raftmq/rpc';

/** Path of the one method of raft.proto's service. */
export const CONNECT_PATH = '/raftmq.raft.v1.RaftTransport/Connect';

/**
 * One way to carry frames between two replicas, in order, with the first frames on each side being hello and answer.
 * Everything above knows only {@link RpcStream}; another carrier replaces this file.
 */
export interface Connection {
  readonly stream: RpcStream<Buffer, Buffer>;
  /** Breaks the connection now. */
  close(): void;
}

/**
 * Dials a peer over gRPC. The connection is this call's own: when it fails, so does the stream, at once.
 * @param keepaliveMs a peer that gives no sign of life for up to twice this long is given up
 */
export function dial(address: string, keepaliveMs: number): Connection {
  const channel = new RpcChannel({
    address,
    tls: null,
    keepaliveMs,
    keepaliveTimeoutMs: keepaliveMs,
  });
  const stream = channel.bidi(CONNECT_PATH, { deadlineMs: null });
  return {
    stream,
    close() {
      stream.fail(new Error('closed by this node'));
      channel.close();
    },
  };
}

/** Accepts connections of peers on a server of the caller's. */
export function accept(
  server: RpcServer,
  accepted: (stream: RpcStream<Buffer, Buffer>, peerAddress: string) => void,
): void {
  server.register({
    kind: 'bidi',
    path: CONNECT_PATH,
    handler(stream, context) {
      context.sendInitialMetadata();
      accepted(stream, context.peer);
    },
  });
}
