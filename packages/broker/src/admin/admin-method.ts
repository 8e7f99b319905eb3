import { isMqError, MqError } from '@raftmq/base';
import { statusCode, statusOf } from '@raftmq/protocol';
import { loadService, RpcError, type ProtoMethod, type RawMethod } from '@raftmq/rpc';
import { edgeCall, type EdgeCall } from '../handlers/edge-call.js';
import { reportUnexpected, type EdgeServices } from '../handlers/services.js';
import { countCall } from '../ops/edge-probe.js';

const SERVICE = 'raftmq.admin.v1.Admin';

interface Result {
  readonly code: number;
  readonly message: string;
}

const DONE: Result = { code: statusCode.OK, message: 'OK' };

/** What the methods of the service have in common. */
export interface AdminContext {
  readonly services: EdgeServices;
  readonly methods: ReadonlyMap<string, ProtoMethod>;
}

export function adminContext(services: EdgeServices): AdminContext {
  return { services, methods: loadService(SERVICE) };
}

/** How an outcome is put into the answer: these carry nothing else, … */
export const asResult = (result: Result): object => result;
/** … these a list beside it. */
export const inResult = (result: Result, lists: object | void): object => ({ result, ...lists });

/** A method that the group's leader answers, wherever it is called. */
export function atLeader<Request extends object>(
  { services, methods }: AdminContext,
  name: string,
  shape: (result: Result, lists: object | void) => object,
  handle: (request: Request) => Promise<object | void>,
): RawMethod {
  const { path, request: requests, response: responses } = methods.get(name)!;
  const probe = services.probe.method(`Admin.${name}`);
  return {
    kind: 'unary',
    path,
    handler: async (bytes, context) => {
      const startedMs = services.clock.monotonicMs();
      const call = edgeCall(
        context,
        services.clock.wallMs(),
        services.settings.requestTimeoutMaxMs,
      );
      const request = decodeRequest<Request>(requests, name, bytes);
      let code: number = statusCode.OK;
      let answer: Buffer;
      try {
        answer = await services.forwarder.unary(call, bytes, services.ownGroup, async () =>
          responses.encode(shape(DONE, await handle(request))),
        );
      } catch (error) {
        const result = failure(services, name, call, error);
        code = result.code;
        answer = responses.encode(shape(result));
      }
      countCall(probe, code, services.clock.monotonicMs() - startedMs);
      return answer;
    },
  };
}

/** A method that the replica which was asked answers for itself. */
export function here(
  { services, methods }: AdminContext,
  name: string,
  handle: () => object,
): RawMethod {
  const { path, response } = methods.get(name)!;
  const probe = services.probe.method(`Admin.${name}`);
  return {
    kind: 'unary',
    path,
    handler: () => {
      countCall(probe, statusCode.OK, 0);
      return response.encode(handle());
    },
  };
}

function decodeRequest<Request extends object>(
  codec: ProtoMethod['request'],
  name: string,
  bytes: Buffer,
): Request {
  try {
    return codec.decode(bytes) as Request;
  } catch (error) {
    throw new MqError(
      'BAD_REQUEST',
      `the request is no ${name}Request: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

function failure(services: EdgeServices, name: string, call: EdgeCall, error: unknown): Result {
  if (!isMqError(error)) reportUnexpected(services, `Admin.${name}`, error);
  // To the replica that passed the call on this says: find another leader. It reads the gRPC status, not the result.
  else if (error.code === 'HA_NOT_AVAILABLE' && call.hops > 0)
    throw new RpcError('UNAVAILABLE', error.message, { cause: error });
  const { code, message } = statusOf(error, 'RAFTMQ');
  return { code, message };
}
