import { type Server } from '@grpc/grpc-js';
import { assert } from '@raftmq/base';

const TIMEOUT_HEADER = 'grpc-timeout';
const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 0.001,
  n: 0.000001,
};
/** What a timer of Node.js can wait for. */
const TIMER_MAX_MS = 2 ** 31 - 1;

type Headers = Record<string, unknown>;

interface Session {
  setLocalWindowSize(sizeBytes: number): void;
  settings(settings: { readonly initialWindowSize: number }): void;
}

/** What we use of the HTTP/2 servers inside grpc-js. */
interface Http2Server {
  prependListener(event: 'stream', listener: (stream: unknown, headers: Headers) => void): void;
  on(event: 'session', listener: (session: Session) => void): void;
}

export interface Http2Windows {
  /** Bytes that one connection may have under way towards us. */
  readonly connectionWindowBytes: number;
  /** Bytes that one call may have under way towards us. */
  readonly streamWindowBytes: number;
}

/**
 * Two things that grpc-js has no option for, done on its HTTP/2 servers:
 *
 * - Deadlines that no timer can hold are taken off the calls before grpc-js sees them: it computes them in 32 bits, and
 *   a deadline of years (the Java client's on its Telemetry stream) would expire at once. Such a call has no deadline.
 * - Flow control windows: with HTTP/2's 64 KiB for a whole connection, requests of 100 KB wait for one another's
 *   window updates, and a connection carries about 40 MB/s however many calls are open.
 *
 * Call it once, after all connection injectors were made: their servers are known from then on. grpc-js keeps them
 * private; a release that moves them fails here at start, not silently.
 */
export function tuneHttp2Servers(server: Server, windows: Http2Windows): void {
  const { http2Servers } = server as unknown as {
    http2Servers?: ReadonlyMap<Http2Server, unknown>;
  };
  assert(http2Servers !== undefined, 'grpc-js still has its map of HTTP/2 servers');
  for (const http2Server of http2Servers.keys()) {
    http2Server.prependListener('stream', (_stream, headers) => {
      const value = headers[TIMEOUT_HEADER];
      if (typeof value === 'string' && timeoutMs(value) > TIMER_MAX_MS) {
        headers[TIMEOUT_HEADER] = undefined;
      }
    });
    http2Server.on('session', (session) => {
      session.setLocalWindowSize(windows.connectionWindowBytes);
      session.settings({ initialWindowSize: windows.streamWindowBytes });
    });
  }
}

function timeoutMs(value: string): number {
  const unit = UNIT_MS[value.slice(-1)];
  return unit === undefined ? 0 : Number(value.slice(0, -1)) * unit;
}
