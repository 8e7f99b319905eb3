import { MqError } from '@raftmq/base';
import {
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

/** A TelemetryCommand as the generic codec shows it; other commands than settings are left alone. */
export interface TelemetryCommand {
  readonly status?: Status | null;
  readonly settings?: object | null;
}

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
  ): Promise<Buffer> {
    const nowMs = Date.now();
    try {
      const answer = await this.pool.channel(address).unary(path, request, {
        deadlineMs: nowMs + (timeoutMs ?? this.#options.requestTimeoutMs),
        headers: this.#headers.at(nowMs),
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
   * @throws MqError of the last failure
   */
  async unary(addresses: readonly string[], path: string, request: Buffer): Promise<Buffer> {
    let failure: unknown = new MqError('HA_NOT_AVAILABLE', 'the route has no address');
    for (const address of this.pool.preferred(addresses)) {
      try {
        return await this.unaryAt(address, path, request);
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
    let failure: unknown = new MqError('HA_NOT_AVAILABLE', 'the route has no address');
    for (const address of this.pool.preferred(addresses)) {
      try {
        const answer = await this.#receiveAt(address, request, pollMs, signal);
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

  async #receiveAt(
    address: string,
    request: Buffer,
    pollMs: number,
    signal: AbortSignal | undefined,
  ): Promise<ReceiveAnswer> {
    const nowMs = Date.now();
    const parts = this.pool.channel(address).serverStream(messagingPath.receiveMessage, request, {
      deadlineMs: nowMs + pollMs + this.#options.requestTimeoutMs,
      headers: this.#headers.at(nowMs),
      ...(signal === undefined ? {} : { signal }),
    });
    const messages: ReceivedMessage[] = [];
    let status: Status | null = null;
    for await (const frame of parts) {
      const part = decodeReceiveMessageResponse(frame);
      if (part.message !== null) messages.push(part.message);
      if (part.status !== null) status = part.status;
    }
    status ??= { code: statusCode.OK, message: '' };
    return { status, messages };
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
