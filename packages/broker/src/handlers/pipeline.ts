import { isMqError } from '@raftmq/base';
import { encodeStatusResponse, statusOf, type Status } from '@raftmq/protocol';
import { type RawMethod, type StreamWriter } from '@raftmq/rpc';
import { peekStatusCode } from '../forward/status-peek.js';
import { countCall } from '../ops/edge-probe.js';
import { edgeCall, requireClientId, type EdgeCall } from './edge-call.js';
import { reportUnexpected, type EdgeServices } from './services.js';

const PACKAGE = 'apache.rocketmq.v2';

/** Path of a method of the messaging service. */
export function methodPath(method: string): string {
  return `/${PACKAGE}.MessagingService/${method}`;
}

/**
 * A method with one answer. Whatever `handle` throws travels as a Status inside a normal answer, as clients expect it:
 * expected failures by their code, anything else as an internal error that is logged here.
 */
export function unaryMethod(
  services: EdgeServices,
  method: string,
  handle: (call: EdgeCall, request: Buffer) => Promise<Buffer>,
): RawMethod {
  const probe = services.probe.method(method);
  const { clock } = services;
  return {
    kind: 'unary',
    path: methodPath(method),
    handler: async (request, context) => {
      const startedMs = clock.monotonicMs();
      const call = edgeCall(context, clock.wallMs(), services.settings.requestTimeoutMaxMs);
      let answer: Buffer;
      try {
        requireClientId(call);
        answer = await handle(call, request);
      } catch (error) {
        answer = encodeStatusResponse(failureStatus(services, method, call, error));
      }
      countCall(probe, peekStatusCode(answer) ?? 0, clock.monotonicMs() - startedMs);
      return answer;
    },
  };
}

/**
 * A method with a stream of answers. `handle` throws only before its first write; `fail` then writes what a failed call
 * looks like.
 */
export function streamMethod(
  services: EdgeServices,
  method: string,
  handle: (call: EdgeCall, request: Buffer, writer: StreamWriter<Buffer>) => Promise<number>,
  fail: (writer: StreamWriter<Buffer>, status: Status, nowMs: number) => void,
): RawMethod {
  const probe = services.probe.method(method);
  const { clock } = services;
  return {
    kind: 'server-stream',
    path: methodPath(method),
    handler: async (request, writer, context) => {
      const startedMs = clock.monotonicMs();
      const call = edgeCall(context, clock.wallMs(), services.settings.requestTimeoutMaxMs);
      let code: number;
      try {
        requireClientId(call);
        code = await handle(call, request, writer);
      } catch (error) {
        const status = failureStatus(services, method, call, error);
        fail(writer, status, clock.wallMs());
        code = status.code;
      }
      countCall(probe, code, clock.monotonicMs() - startedMs);
    },
  };
}

function failureStatus(
  services: EdgeServices,
  method: string,
  call: EdgeCall,
  error: unknown,
): Status {
  if (!isMqError(error)) reportUnexpected(services, method, error);
  return statusOf(error, call.language);
}
