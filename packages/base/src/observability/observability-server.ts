import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { errorText, MqError } from '../errors.js';
import { type Logger } from '../logger.js';
import { type MetricsRegistry } from './metrics.js';

export interface ObservabilityOptions {
  readonly host: string;
  /** 0 = any free port; see `ObservabilityServer.port`. */
  readonly port: number;
  readonly registry: MetricsRegistry;
  /** Why this node should get no work now, one sentence each; empty = it is ready. Called for each question. */
  readonly notReady: () => readonly string[];
  readonly logger: Logger;
}

const CONNECTIONS_MAX = 64;
const REQUEST_TIMEOUT_MS = 10_000;

/**
 * What operators and orchestrators ask a node over HTTP: `/metrics` (Prometheus text), `/livez` (200 while the event
 * loop turns) and `/readyz` (200, or 503 with the reasons, as JSON `{"ready":false,"reasons":["…"]}`).
 */
export class ObservabilityServer {
  readonly #options: ObservabilityOptions;
  readonly #server: Server;

  constructor(options: ObservabilityOptions) {
    this.#options = options;
    this.#server = createServer(
      { headersTimeout: REQUEST_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS },
      (request, response) => {
        this.#answer(request, response).catch((error: unknown) => {
          options.logger.error({ error: errorText(error) }, 'metrics cannot be collected');
          if (!response.headersSent) response.writeHead(500);
          response.end();
        });
      },
    );
    this.#server.maxConnections = CONNECTIONS_MAX;
  }

  /** The port that it listens on; only while it listens. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** @throws MqError CONFIG_INVALID when the port is taken */
  start(): Promise<void> {
    const { host, port, logger } = this.#options;
    return new Promise((resolve, reject) => {
      const failed = (error: Error): void => {
        const what = `cannot listen on ${host}:${port} for metrics: ${errorText(error)}`;
        reject(new MqError('CONFIG_INVALID', `${what}; choose another port`, { cause: error }));
      };
      this.#server.once('error', failed);
      this.#server.listen(port, host, () => {
        this.#server.removeListener('error', failed);
        this.#server.on('error', (error) =>
          logger.warn({ error: errorText(error) }, 'metrics port failed'),
        );
        resolve();
      });
    });
  }

  /** Closes the port and every connection. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      send(response, 405, 'application/json', JSON.stringify({ error: 'only GET is allowed' }), {
        allow: 'GET, HEAD',
      });
      return;
    }
    switch (request.url?.split('?', 1)[0]) {
      case '/metrics': {
        const { registry } = this.#options;
        send(response, 200, registry.contentType, await registry.metrics());
        break;
      }
      case '/livez':
        send(response, 200, 'application/json', '{"live":true}');
        break;
      case '/readyz': {
        const reasons = this.#options.notReady();
        const ready = reasons.length === 0;
        send(response, ready ? 200 : 503, 'application/json', JSON.stringify({ ready, reasons }));
        break;
      }
      default:
        send(
          response,
          404,
          'application/json',
          JSON.stringify({ error: 'ask for /metrics, /livez or /readyz' }),
        );
    }
  }
}

function send(
  response: ServerResponse,
  status: number,
  type: string,
  body: string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    ...headers,
  });
  response.end(body);
}
