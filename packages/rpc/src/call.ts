/** What a handler knows about the call it answers. */
export interface CallContext {
  /** `/package.Service/Method`. */
  readonly path: string;
  /** First value of a text header, by lower-case name; null when absent. */
  header(name: string): string | null;
  /** All text headers, first values, without those of gRPC itself: to forward a call. */
  headers(): Readonly<Record<string, string>>;
  /** When the caller gives up, in wall-clock milliseconds; null = it set no deadline. */
  readonly deadlineMs: number | null;
  /** `host:port` of the caller. */
  readonly peer: string;
  /** Aborted when the caller cancels, its deadline passes or its connection breaks. Made at first use. */
  readonly signal: AbortSignal;
  /** Sends the response headers now instead of with the first message; later calls do nothing. */
  sendInitialMetadata(): void;
}

/** The writing half of a stream. */
export interface StreamWriter<Out> {
  /**
   * Hands one message over, in order; drops it when the stream is closed. The caller gives a Buffer away.
   * @returns false when more than the high-water mark waits: write on only after `drained()`
   */
  write(message: Out): boolean;
  /** Resolves when there is room again, or when the stream is closed. */
  drained(): Promise<void>;
  /** Messages handed over and not yet taken by the connection. */
  readonly pending: number;
  /** Their bytes. */
  readonly pendingBytes: number;
  readonly closed: boolean;
}

/** What happens on a stream. Calls come one at a time; `closed` is the last and comes exactly once. */
export interface StreamListener<In> {
  message(message: In): void;
  /** The other side will send no more; this side may. */
  ended?(): void;
  /** The call is over. null = it ended with OK. */
  closed(failure: Error | null): void;
}

/** Both halves of a stream; the same on either end of a call. */
export interface RpcStream<In, Out> extends StreamWriter<Out> {
  /** Starts delivery; what came before waits. Call it once. */
  listen(listener: StreamListener<In>): void;
  /** Stops delivery, and soon the sender, until `resume`. */
  pause(): void;
  resume(): void;
  /** Server: ends the call with OK. Client: says that no more messages will come. Messages before it are delivered. */
  end(): void;
  /** Server: ends the call with the status of `error`. Client: cancels the call. Messages that wait may be lost. */
  fail(error: Error): void;
}

/** A method that works on the bytes of its messages. Returned Buffers are given away. */
export type RawMethod =
  | {
      readonly kind: 'unary';
      readonly path: string;
      /** `request` is a view that stays valid. Rejections become the status of the call. */
      readonly handler: (request: Buffer, context: CallContext) => Promise<Buffer> | Buffer;
    }
  | {
      readonly kind: 'server-stream';
      readonly path: string;
      /** The call ends with OK when the promise resolves. */
      readonly handler: (
        request: Buffer,
        writer: StreamWriter<Buffer>,
        context: CallContext,
      ) => Promise<void>;
    }
  | {
      readonly kind: 'bidi';
      readonly path: string;
      /** Has to call `stream.listen`. A throw ends the call; returning does not. */
      readonly handler: (stream: RpcStream<Buffer, Buffer>, context: CallContext) => void;
    };

/**
 * Handlers of a service by method name, on decoded messages. The parameter types are the caller's knowledge of the
 * `.proto` file; nothing checks them.
 */
export type ProtoHandlers = Readonly<Record<string, ProtoHandler>>;

export type ProtoHandler =
  | { readonly unary: (request: never, context: CallContext) => Promise<object> | object }
  | {
      readonly serverStream: (
        request: never,
        writer: StreamWriter<object>,
        context: CallContext,
      ) => Promise<void>;
    }
  | { readonly bidi: (stream: RpcStream<never, object>, context: CallContext) => void };
