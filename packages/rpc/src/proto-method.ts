import { errorText } from '@raftmq/base';
import {
  type ProtoHandler,
  type RawMethod,
  type RpcStream,
  type StreamListener,
  type StreamWriter,
} from './call.js';
import { type MessageCodec, type ProtoMethod } from './load.js';
import { RpcError } from './status.js';

/**
 * Puts the generic codec around a handler of decoded messages. Bytes that are no such message end the call with
 * INVALID_ARGUMENT; the connection lives on.
 */
export function protoMethod(method: ProtoMethod, handler: ProtoHandler): RawMethod {
  const { path, request, response } = method;
  if ('unary' in handler) {
    const { unary } = handler;
    return {
      kind: 'unary',
      path,
      handler: async (bytes, context) =>
        response.encode(await unary(decode(request, bytes) as never, context)),
    };
  }
  if ('serverStream' in handler) {
    const { serverStream } = handler;
    return {
      kind: 'server-stream',
      path,
      handler: (bytes, writer, context) =>
        serverStream(
          decode(request, bytes) as never,
          new EncodingWriter(writer, response),
          context,
        ),
    };
  }
  const { bidi } = handler;
  return {
    kind: 'bidi',
    path,
    handler: (stream, context) =>
      bidi(
        new CodecStream<never, object>(stream, request as MessageCodec<never>, response),
        context,
      ),
  };
}

function decode<T>(codec: MessageCodec<T>, bytes: Buffer): T {
  try {
    return codec.decode(bytes);
  } catch (error) {
    throw new RpcError('INVALID_ARGUMENT', `these bytes are no such message: ${errorText(error)}`);
  }
}

class EncodingWriter<Out> implements StreamWriter<Out> {
  readonly #writer: StreamWriter<Buffer>;
  readonly #codec: MessageCodec<Out>;

  constructor(writer: StreamWriter<Buffer>, codec: MessageCodec<Out>) {
    this.#writer = writer;
    this.#codec = codec;
  }

  get closed(): boolean {
    return this.#writer.closed;
  }

  get pending(): number {
    return this.#writer.pending;
  }

  get pendingBytes(): number {
    return this.#writer.pendingBytes;
  }

  write(message: Out): boolean {
    return this.#writer.write(this.#codec.encode(message));
  }

  drained(): Promise<void> {
    return this.#writer.drained();
  }
}

/** A stream of messages over a stream of bytes. */
export class CodecStream<In, Out> extends EncodingWriter<Out> implements RpcStream<In, Out> {
  readonly #stream: RpcStream<Buffer, Buffer>;
  readonly #incoming: MessageCodec<In>;

  constructor(
    stream: RpcStream<Buffer, Buffer>,
    incoming: MessageCodec<In>,
    outgoing: MessageCodec<Out>,
  ) {
    super(stream, outgoing);
    this.#stream = stream;
    this.#incoming = incoming;
  }

  listen(listener: StreamListener<In>): void {
    this.#stream.listen({
      message: (bytes) => listener.message(decode(this.#incoming, bytes)),
      ended: () => listener.ended?.(),
      closed: (failure) => listener.closed(failure),
    });
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  end(): void {
    this.#stream.end();
  }

  fail(error: Error): void {
    this.#stream.fail(error);
  }
}
