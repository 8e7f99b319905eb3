import { MqError } from '@raftmq/base';
import {
  decodePullMessageResponse,
  decodeReceiveMessageResponse,
  type ReceivedMessage,
  type Status,
  statusCode,
} from '@raftmq/protocol';
import { type MessageCodec, loadMessage, type RpcStream } from '@raftmq/rpc';
import { ChannelPool } from './channel-pool.js';
import { CallHeaders } from './headers.js';
import { type CompiledClientOptions } from './options.js';
import { callFailure, isTransportFailure } from './status-error.js';

const SERVICE = '/apache.rocketmq.v2.MessagingService/';

/** Paths of the calls that this package makes. */
export const messagingPath = {
  queryRoute: `${SERVICE}QueryRoute`,
  heartbeat: `${SERVICE}Heartbeat`,
  sendMessage: `${SERVICE}SendMessage`,
  queryAssignment: `${SERVICE}QueryAssignment`,
  receiveMessage: `${SERVICE}ReceiveMessage`,
  ackMessage: `${SERVICE}AckMessage`,
  forwardToDeadLetterQueue: `${SERVICE}ForwardMessageToDeadLetterQueue`,
  changeInvisibleDuration: `${SERVICE}ChangeInvisibleDuration`,
  recallMessage: `${SERVICE}RecallMessage`,
  pullMessage: `${SERVICE}PullMessage`,
  updateOffset: `${SERVICE}UpdateOffset`,
  getOffset: `${SERVICE}GetOffset`,
  queryOffset: `${SERVICE}QueryOffset`,
  notifyClientTermination: `${SERVICE}NotifyClientTermination`,
  syncLiteSubscription: `${SERVICE}SyncLiteSubscription`,
  endTransaction: `${SERVICE}EndTransaction`,
  telemetry: `${SERVICE}Telemetry`,
} as const;

/** What a ReceiveMessage stream brought. */
export interface ReceiveAnswer {
  readonly status: Status;
  readonly messages: readonly ReceivedMessage[];
}

/** What a PullMessage stream brought. */
export interface PullAnswer {
  readonly status: Status;
  readonly messages: readonly ReceivedMessage[];
  /** Null when the answer came from no leader: the offset asked for still holds. */
  readonly nextOffset: number | null;
}

/** A TelemetryCommand as the generic codec shows it; other commands than settings are left alone. */
export interface TelemetryCommand {
  readonly status?: Status | null;
  readonly settings?: object | null;
}

const NO_STATUS: Status = { code: statusCode.OK, message: '' };

/** Calls of the public messaging service, as bytes, with headers, deadlines and fail-over between addresses. */
export class MessagingRpc {
  readonly pool: ChannelPool;
  readonly #options: CompiledClientOptions;
  readonly #headers: CallHeaders;

  constructor(options: CompiledClientOptions, clientId: string) {
    this.#options = options;
    this.#headers = new CallHeaders(options, clientId);
    this.pool = new ChannelPool(options);
  }

  /**
   * One attempt at one address. A failure of the transport isolates the address.
   * @throws RpcError as the call ended
   */
  async unaryAt(
    address: string,
    path: string,
    request: Buffer,
    timeoutMs?: number,
    more?: Readonly<Record<string, string>>,
  ): Promise<Buffer> {
    const nowMs = Date.now();
    try {
      const answer = await this.pool.channel(address).unary(path, request, {
        deadlineMs: nowMs + (timeoutMs ?? this.#options.requestTimeoutMs),
        headers:
          more === undefined ? this.#headers.at(nowMs) : { ...this.#headers.at(nowMs), ...more },
      });
      // A server that is shut off may still know routes; everything else shows that it works.
      if (path !== messagingPath.queryRoute) this.pool.restore(address);
      return answer;
    } catch (error) {
      if (isTransportFailure(error)) this.pool.isolate(address);
      throw error;
    }
  }

  /**
   * Tries the addresses one after another until one answers. For calls that may be carried out twice.
   * @param headers beside those of every call
   * @throws MqError of the last failure
   */
  async unary(
    addresses: readonly string[],
    path: string,
    request: Buffer,
    headers?: Readonly<Record<string, string>>,
  ): Promise<Buffer> {
    let failure: unknown = new MqError('HA_NOT_AVAILABLE', 'the route has no address');
    for (const address of this.pool.preferred(addresses)) {
      try {
        return await this.unaryAt(address, path, request, undefined, headers);
      } catch (error) {
        failure = error;
        if (!isTransportFailure(error)) break;
      }
    }
    throw callFailure(failure);
  }

  /**
   * Receives at the first address that takes the call.
   * @param pollMs how long the server may hold the call
   * @throws MqError when the transport fails at all addresses; business outcomes are in the status
   */
  async receive(
    addresses: readonly string[],
    request: Buffer,
    pollMs: number,
    signal?: AbortSignal,
  ): Promise<ReceiveAnswer> {
    const { receiveMessage } = messagingPath;
    return this.#stream(addresses, receiveMessage, request, pollMs, signal, () => {
      const messages: ReceivedMessage[] = [];
      const answer = { status: NO_STATUS, messages };
      const add = (frame: Buffer): void => {
        const part = decodeReceiveMessageResponse(frame);
        if (part.message !== null) messages.push(part.message);
        if (part.status !== null) answer.status = part.status;
      };
      return { answer, add };
    });
  }

  /** Pulls at the first address that takes the call; as {@link receive}. */
  async pull(
    addresses: readonly string[],
    request: Buffer,
    pollMs: number,
    signal?: AbortSignal,
  ): Promise<PullAnswer> {
    return this.#stream(addresses, messagingPath.pullMessage, request, pollMs, signal, () => {
      const messages: ReceivedMessage[] = [];
      const answer = { status: NO_STATUS, messages, nextOffset: null as number | null };
      const add = (frame: Buffer): void => {
        const part = decodePullMessageResponse(frame);
        if (part.message !== null) messages.push(part.message);
        if (part.status !== null) answer.status = part.status;
        if (part.nextOffset !== null) answer.nextOffset = part.nextOffset;
      };
      return { answer, add };
    });
  }

  /**
   * A call with a stream of answers, at the first address that takes it.
   * @param begin called at each attempt: what was received before a failure does not count
   */
  async #stream<T>(
    addresses: readonly string[],
    path: string,
    request: Buffer,
    pollMs: number,
    signal: AbortSignal | undefined,
    begin: () => { readonly answer: T; readonly add: (frame: Buffer) => void },
  ): Promise<T> {
    let failure: unknown = new MqError('HA_NOT_AVAILABLE', 'the route has no address');
    for (const address of this.pool.preferred(addresses)) {
      try {
        const { answer, add } = begin();
        const nowMs = Date.now();
        const stream = this.pool.channel(address).serverStream(path, request, {
          deadlineMs: nowMs + pollMs + this.#options.requestTimeoutMs,
          headers: this.#headers.at(nowMs),
          ...(signal === undefined ? {} : { signal }),
        });
        for await (const frame of stream) add(frame);
        this.pool.restore(address);
        return answer;
      } catch (error) {
        failure = error;
        if (signal?.aborted === true || !isTransportFailure(error)) break;
        this.pool.isolate(address);
      }
    }
    throw callFailure(failure);
  }

  /** Opens a Telemetry stream; settings travel as plain objects of the generic codec. */
  telemetry(address: string): RpcStream<Buffer, Buffer> {
    return this.pool.channel(address).bidi(messagingPath.telemetry, {
      deadlineMs: null,
      headers: this.#headers.at(Date.now()),
    });
  }

  close(): void {
    this.pool.close();
  }
}

/** The codec of Telemetry commands; loaded at first use, since it reads the `.proto` files. */
export function telemetryCodec(): MessageCodec<TelemetryCommand> {
  return loadMessage<TelemetryCommand>('apache.rocketmq.v2.TelemetryCommand');
}
