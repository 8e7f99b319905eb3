import { assert, errorText, isMqError, LogGate, type Logger, type MqError } from '@raftmq/base';
import { type RawMethod } from './call.js';
import { type ServerCall } from './http2/server-call.js';
import { type ServerHandlers, type StatusAnswer } from './http2/server-connection.js';
import {
  defaultErrorStatus,
  isImpossible,
  isRpcError,
  rpcStatus,
  statusDetails,
  type RpcStatus,
} from './status.js';

/** Counters of the calls of a server; read at scrape. */
export interface RpcServerProbe {
  calls: number;
  /** Calls that ended with a status other than OK, set by a handler. */
  callsFailed: number;
  /** Calls that failed in a way that nobody planned for. */
  foreignErrors: number;
}

export interface CallRunnerOptions {
  readonly logger: Logger;
  /** Status of a call whose handler threw an MqError. */
  readonly errorStatus: ((error: MqError) => RpcStatus) | undefined;
}

const LOG_INTERVAL_MS = 1_000;

/** Runs the handlers of a server's methods, and makes statuses of their failures. */
export class CallRunner implements ServerHandlers {
  readonly probe: RpcServerProbe = { calls: 0, callsFailed: 0, foreignErrors: 0 };
  readonly methods = new Map<string, RawMethod>();
  readonly #logger: Logger;
  readonly #errorStatus: (error: MqError) => RpcStatus;
  readonly #gate = new LogGate(LOG_INTERVAL_MS);

  constructor({ logger, errorStatus }: CallRunnerOptions) {
    this.#logger = logger;
    this.#errorStatus = errorStatus ?? defaultErrorStatus;
  }

  /** Adds a method. A path is registered once (asserted). */
  register(method: RawMethod): void {
    assert(!this.methods.has(method.path), `${method.path} is registered once`);
    this.methods.set(method.path, method);
  }

  runUnary(
    { handler }: Extract<RawMethod, { kind: 'unary' }>,
    request: Buffer,
    call: ServerCall,
  ): void {
    this.probe.calls++;
    try {
      const result = handler(request, call);
      if (Buffer.isBuffer(result)) call.answer(result);
      else
        result.then(
          (answer) => call.answer(answer),
          (error: unknown) => call.fail(error as Error),
        );
    } catch (error) {
      call.fail(error as Error);
    }
  }

  runServerStream(
    { handler }: Extract<RawMethod, { kind: 'server-stream' }>,
    request: Buffer,
    call: ServerCall,
  ): void {
    this.probe.calls++;
    try {
      handler(request, call, call).then(
        () => call.end(),
        (error: unknown) => call.fail(error as Error),
      );
    } catch (error) {
      call.fail(error as Error);
    }
  }

  runBidi({ handler }: Extract<RawMethod, { kind: 'bidi' }>, call: ServerCall): void {
    this.probe.calls++;
    try {
      handler(call, call);
    } catch (error) {
      call.fail(error as Error);
    }
  }

  /** The status that a failure becomes. What nobody planned for is logged here and nowhere else. */
  statusOf(path: string, error: unknown): StatusAnswer {
    this.probe.callsFailed++;
    if (isRpcError(error))
      return { code: rpcStatus[error.status], details: statusDetails(error.message) };
    if (isMqError(error)) {
      const status = this.#errorStatus(error);
      return { code: rpcStatus[status], details: statusDetails(error.message) };
    }
    this.probe.foreignErrors++;
    if (isImpossible(error)) {
      process.nextTick(() => {
        throw error;
      });
    }
    const suppressed = this.#gate.pass(performance.now());
    if (suppressed !== null) {
      const stack = error instanceof Error ? error.stack : undefined;
      this.#logger.error({ path, error: errorText(error), stack, suppressed }, 'handler failed');
    }
    return {
      code: rpcStatus.INTERNAL,
      details: 'the server failed in an unexpected way; its log says more',
    };
  }
}
