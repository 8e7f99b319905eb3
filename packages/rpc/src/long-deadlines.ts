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

interface StreamSource {
  prependListener(event: 'stream', listener: (stream: unknown, headers: Headers) => void): void;
}
type Headers = Record<string, unknown>;

/**
 * Takes deadlines that no timer can hold off the calls before grpc-js sees them: it computes them in 32 bits, and a
 * deadline of years (the Java client's on its Telemetry stream) would expire at once. Such a call has no deadline.
 *
 * Call it once, after all connection injectors were made: their HTTP/2 servers are known from then on. grpc-js keeps
 * them private; a release that moves them fails here at start, not silently.
 */
export function tolerateLongDeadlines(server: Server): void {
  const { http2Servers } = server as unknown as {
    http2Servers?: ReadonlyMap<StreamSource, unknown>;
  };
  assert(http2Servers !== undefined, 'grpc-js still has its map of HTTP/2 servers');
  for (const source of http2Servers.keys()) {
    source.prependListener('stream', (_stream, headers) => {
      const value = headers[TIMEOUT_HEADER];
      if (typeof value === 'string' && timeoutMs(value) > TIMER_MAX_MS)
        headers[TIMEOUT_HEADER] = undefined;
    });
  }
}

function timeoutMs(value: string): number {
  const unit = UNIT_MS[value.slice(-1)];
  return unit === undefined ? 0 : Number(value.slice(0, -1)) * unit;
}
