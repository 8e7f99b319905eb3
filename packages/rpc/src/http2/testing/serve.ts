import { type Logger, silentLogger } from '@raftmq/base';
import { RpcServer, type RpcServerLimits } from '../../server.js';

export interface Served {
  readonly server: RpcServer;
  readonly port: number;
  /** Log lines of level error: there must be none, whatever a peer does. */
  readonly errors: string[];
}

/** A server with `/t/Echo`, whose owner adds what it needs and closes it. */
export async function serve(
  setUp: (server: RpcServer) => void,
  limits: Partial<RpcServerLimits> = {},
): Promise<Served> {
  const errors: string[] = [];
  const logger: Logger = {
    ...silentLogger,
    error: (fields, message) => errors.push(`${message} ${JSON.stringify(fields)}`),
  };
  const server = new RpcServer({ host: '127.0.0.1', port: 0, tls: null, logger, limits });
  server.register({ kind: 'unary', path: '/t/Echo', handler: (request) => request });
  setUp(server);
  await server.start();
  return { server, port: server.port, errors };
}
