import { silentLogger } from '@raftmq/base';
import {
  type AckEntry,
  type ChangeInvisibleRequest,
  decodeAckMessageRequest,
  decodeChangeInvisibleDurationRequest,
  decodeEndTransactionRequest,
  decodeForwardToDeadLetterRequest,
  decodeQueryAssignmentRequest,
  decodeQueryRouteRequest,
  decodeReceiveMessageRequest,
  decodeRecallMessageRequest,
  decodeSendMessageRequest,
  decodeSyncLiteSubscriptionRequest,
  type DecodedMessage,
  encodeAckMessageResponse,
  encodeChangeInvisibleDurationResponse,
  encodeQueryAssignmentResponse,
  encodeQueryRouteResponse,
  encodeRecallMessageResponse,
  encodeSendOkResponse,
  encodeStatusResponse,
  type EndTransactionRequest,
  type ForwardToDeadLetterRequest,
  type LiteSubscriptionRequest,
  OK_STATUS,
  type RecallRequest,
  type ReceiveMessageRequest,
  type RouteQueue,
  type Status,
  statusCode,
  statusWithName,
} from '@raftmq/protocol';
import {
  type CallContext,
  loadMessage,
  RpcServer,
  type RpcStream,
  type StreamWriter,
} from '@raftmq/rpc';
import { messagingPath, type TelemetryCommand } from '../messaging-rpc.js';

/** What a test may decide about a call: a Buffer is the answer, null leaves it to the fake. */
type Hook<T> = (request: T, call: number) => Promise<Buffer | null> | Buffer | null;

interface WaitingMessage {
  readonly topic: string;
  readonly message: DecodedMessage;
  readonly attempt: number;
  readonly handle: string;
}

/**
 * A broker of the v5 protocol in this process, for tests: one queue per topic, no leases, every call on record. Tests
 * put their own answers in front of its own with the hooks.
 */
export class FakeBroker {
  readonly #server = new RpcServer({ host: '127.0.0.1', port: 0, tls: null, logger: silentLogger });
  readonly #waiting: WaitingMessage[] = [];
  readonly #calls = new Map<string, number>();
  readonly #polls = new Set<() => void>();
  #handles = 0;

  /** Every accepted message, in the order of storage. */
  readonly stored: DecodedMessage[] = [];
  /** Number of messages of each accepted SendMessage call. */
  readonly batches: number[] = [];
  readonly acked: AckEntry[] = [];
  readonly changed: ChangeInvisibleRequest[] = [];
  readonly deadLettered: ForwardToDeadLetterRequest[] = [];
  readonly recalled: RecallRequest[] = [];
  /** Answer of RecallMessage. */
  recallStatus: Status = OK_STATUS;
  readonly received: ReceiveMessageRequest[] = [];
  /** Settings commands of clients. */
  readonly settingsSeen: Record<string, unknown>[] = [];
  readonly liteChanges: LiteSubscriptionRequest[] = [];
  readonly headersSeen: Readonly<Record<string, string>>[] = [];
  readonly terminated: string[] = [];
  heartbeats = 0;

  /** Topics that have a route. */
  readonly topics = new Set(['topic']);
  acceptMessageTypes: readonly number[] = [1, 2, 3, 4];
  /** Merged into the echo of a client's settings. */
  settings: { readonly backoffPolicy?: object; readonly fifo?: boolean } = {};
  /** Addresses in routes; default: this broker's own. */
  routeAddresses: readonly { readonly host: string; readonly port: number }[] | null = null;
  /** The answer to SyncLiteSubscription. */
  liteStatus: Status = OK_STATUS;
  onSend: Hook<readonly DecodedMessage[]> = () => null;
  onAck: Hook<readonly AckEntry[]> = () => null;
  onRoute: Hook<string> = () => null;
  readonly ended: EndTransactionRequest[] = [];
  onEnd: Hook<EndTransactionRequest> = () => null;
  readonly #telemetry = new Set<RpcStream<Buffer, Buffer>>();

  get port(): number {
    return this.#server.port;
  }

  get endpoints(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** How often a method was called, by its name. */
  calls(method: keyof typeof messagingPath): number {
    return this.#calls.get(messagingPath[method]) ?? 0;
  }

  /** Puts a message in front of consumers. */
  offer(topic: string, message: DecodedMessage, attempt = 1): void {
    this.#waiting.push({ topic, message, attempt, handle: `handle-${this.#handles++}` });
    for (const wake of this.#polls) wake();
  }

  async start(): Promise<void> {
    this.#unary('queryRoute', (bytes) => this.#route(bytes, false));
    this.#unary('queryAssignment', (bytes) => this.#route(bytes, true));
    this.#unary('sendMessage', (bytes, context) => this.#send(bytes, context));
    this.#unary('ackMessage', (bytes) => this.#ack(bytes));
    this.#unary('endTransaction', async (bytes) => {
      const request = decodeEndTransactionRequest(bytes);
      const own = await this.onEnd(request, this.calls('endTransaction'));
      if (own !== null) return own;
      this.ended.push(request);
      return encodeStatusResponse(OK_STATUS);
    });
    this.#unary('heartbeat', () => {
      this.heartbeats++;
      return encodeStatusResponse(OK_STATUS);
    });
    this.#unary('notifyClientTermination', (_, context) => {
      this.terminated.push(context.header('x-mq-client-id') ?? '');
      return encodeStatusResponse(OK_STATUS);
    });
    this.#unary('syncLiteSubscription', (bytes) => {
      this.liteChanges.push(decodeSyncLiteSubscriptionRequest(bytes));
      return encodeStatusResponse(this.liteStatus);
    });
    this.#unary('changeInvisibleDuration', (bytes) => {
      const request = decodeChangeInvisibleDurationRequest(bytes);
      this.changed.push(request);
      const receiptHandle = `${request.receiptHandle}-changed`;
      return encodeChangeInvisibleDurationResponse({ status: OK_STATUS, receiptHandle });
    });
    this.#unary('recallMessage', (bytes) => {
      const request = decodeRecallMessageRequest(bytes);
      this.recalled.push(request);
      const messageId = `id of ${request.recallHandle}`;
      return encodeRecallMessageResponse({ status: this.recallStatus, messageId });
    });
    this.#unary('forwardToDeadLetterQueue', (bytes) => {
      this.deadLettered.push(decodeForwardToDeadLetterRequest(bytes));
      return encodeStatusResponse(OK_STATUS);
    });
    this.#server.register({
      kind: 'server-stream',
      path: messagingPath.receiveMessage,
      handler: (bytes, writer, context) => this.#receive(bytes, writer, context),
    });
    this.#registerTelemetry();
    await this.#server.start();
  }

  stop(): Promise<void> {
    for (const wake of this.#polls) wake();
    return this.#server.close(0);
  }

  #unary(
    method: keyof typeof messagingPath,
    handler: (bytes: Buffer, context: CallContext) => Promise<Buffer> | Buffer,
  ): void {
    const path = messagingPath[method];
    this.#server.register({
      kind: 'unary',
      path,
      handler: (bytes, context) => {
        this.#count(path);
        this.headersSeen.push(context.headers());
        return handler(bytes, context);
      },
    });
  }

  #count(path: string): number {
    const count = (this.#calls.get(path) ?? 0) + 1;
    this.#calls.set(path, count);
    return count;
  }

  async #route(bytes: Buffer, assignment: boolean): Promise<Buffer> {
    const { topic } = (assignment ? decodeQueryAssignmentRequest : decodeQueryRouteRequest)(bytes);
    const own = await this.onRoute(topic.name, this.calls('queryRoute'));
    if (own !== null) return own;
    if (!this.topics.has(topic.name)) {
      return encodeStatusResponse(statusWithName(statusCode.TOPIC_NOT_FOUND));
    }
    const queue: RouteQueue = {
      topic,
      queueId: 0,
      permission: 4,
      brokerName: 'broker-a',
      brokerId: 0,
      endpoints: {
        scheme: 1,
        addresses: this.routeAddresses ?? [{ host: '127.0.0.1', port: this.port }],
      },
      acceptMessageTypes: this.acceptMessageTypes,
    };
    const answer = { status: OK_STATUS, queues: [queue] };
    return assignment ? encodeQueryAssignmentResponse(answer) : encodeQueryRouteResponse(answer);
  }

  async #send(bytes: Buffer, context: CallContext): Promise<Buffer> {
    const request = decodeSendMessageRequest(bytes, { peer: context.peer, nowMs: 0 });
    const own = await this.onSend(request.messages, this.calls('sendMessage'));
    if (own !== null) return own;
    const first = this.stored.length;
    this.stored.push(...request.messages);
    this.batches.push(request.messages.length);
    return encodeSendOkResponse(request.messages, first);
  }

  async #ack(bytes: Buffer): Promise<Buffer> {
    const { entries } = decodeAckMessageRequest(bytes);
    const own = await this.onAck(entries, this.calls('ackMessage'));
    if (own !== null) return own;
    this.acked.push(...entries);
    return encodeAckMessageResponse(
      entries,
      entries.map(() => null),
    );
  }

  async #receive(bytes: Buffer, writer: StreamWriter<Buffer>, context: CallContext): Promise<void> {
    this.#count(messagingPath.receiveMessage);
    const request = decodeReceiveMessageRequest(bytes);
    this.received.push(request);
    if (this.#waiting.length === 0) await this.#poll(request.longPollingMs ?? 0, context.signal);
    if (context.signal.aborted) return;
    const parts = this.#waiting.splice(0, request.batchSize);
    const status: Status =
      parts.length > 0 ? OK_STATUS : statusWithName(statusCode.MESSAGE_NOT_FOUND);
    writer.write(encodeStatusResponse(status));
    for (const part of parts) writer.write(receivePart(part));
  }

  #poll(pollMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#polls.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, pollMs);
      this.#polls.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }

  /** Writes a TelemetryCommand to all open streams. */
  push(command: Buffer): void {
    for (const stream of this.#telemetry) stream.write(command);
  }

  #registerTelemetry(): void {
    const codec = loadMessage<TelemetryCommand>('apache.rocketmq.v2.TelemetryCommand');
    this.#server.register({
      kind: 'bidi',
      path: messagingPath.telemetry,
      handler: (stream, context) => {
        context.sendInitialMetadata();
        this.#telemetry.add(stream);
        stream.listen({
          message: (bytes) => {
            const client = codec.decode(bytes).settings as Record<string, unknown>;
            this.settingsSeen.push(client);
            const { backoffPolicy, fifo } = this.settings;
            const subscription = client['subscription'] as object | undefined;
            const settings = {
              ...client,
              ...(backoffPolicy === undefined ? {} : { backoffPolicy }),
              ...(subscription === undefined
                ? {}
                : { subscription: { ...subscription, fifo: fifo ?? false, receiveBatchSize: 32 } }),
            };
            stream.write(codec.encode({ status: OK_STATUS, settings }));
          },
          ended: () => stream.end(),
          closed: () => void this.#telemetry.delete(stream),
        });
      },
    });
  }
}

/** One message of a ReceiveMessage answer, through the generic codec: nothing of the hot one checks itself here. */
function receivePart({ topic, message, attempt, handle }: WaitingMessage): Buffer {
  return loadMessage('apache.rocketmq.v2.ReceiveMessageResponse').encode({
    message: {
      topic: { name: topic },
      userProperties: Object.fromEntries(
        message.userProperties.flatMap((name, i, all) => (i % 2 === 0 ? [[name, all[i + 1]]] : [])),
      ),
      systemProperties: {
        tag: message.tag ?? undefined,
        keys: message.keys,
        messageId: message.messageId,
        bodyDigest: message.bodyDigest,
        bodyEncoding: message.gzip ? 2 : 1,
        messageType: message.messageType,
        receiptHandle: handle,
        deliveryAttempt: attempt,
        messageGroup: message.messageGroup ?? undefined,
      },
      body: message.body,
    },
  });
}

/** A message with nothing but an id and a body, as a fake broker holds it. */
export function fakeMessage(
  messageId: string,
  changes: Partial<DecodedMessage> = {},
): DecodedMessage {
  return {
    messageId,
    body: Buffer.from(`body of ${messageId}`),
    tag: null,
    keys: [],
    userProperties: [],
    messageGroup: null,
    traceContext: null,
    bornTimestampMs: 0,
    bornHost: '',
    gzip: false,
    messageType: 1,
    userPropertyCount: 0,
    bodyDigest: null,
    bodyEncoding: 1,
    deliveryTimestampMs: null,
    liteTopic: null,
    priority: null,
    transactionRecoveryMs: null,
    ...changes,
  };
}

/** Polls until `condition` holds. @throws Error after 4 s, before the test itself times out */
export async function until(condition: () => boolean): Promise<void> {
  const endsAt = Date.now() + 4_000;
  while (!condition()) {
    if (Date.now() > endsAt) throw new Error('the condition did not come true in time');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
