import { errorText, isMqError, MqError, type CancelTimer } from '@raftmq/base';
import {
  ALL_MESSAGES,
  mergeSettings,
  OK_STATUS,
  parseMessageFilter,
  statusOf,
  type ResourceMessage,
  type Resource,
  type SettingsMessage,
  type Status,
  type SubscriptionEntryMessage,
} from '@raftmq/protocol';
import { RpcError, type RawMethod, type RpcStream } from '@raftmq/rpc';
import { edgeCall, isNodeSdk, requireClientId, type EdgeCall } from '../handlers/edge-call.js';
import { methodPath } from '../handlers/pipeline.js';
import {
  groupBehaviour,
  groupOf,
  reportUnexpected,
  topicOf,
  type EdgeServices,
} from '../handlers/services.js';
import { countCall } from '../ops/edge-probe.js';
import {
  type ClientDescription,
  type ClientRegistry,
  type ClientStream,
} from './client-registry.js';
import { fitBackoff } from './node-backoff.js';
import { telemetryCommandCodec, type TelemetryCommand } from './wire.js';

/**
 * The Node.js SDK starts to listen for Settings only after the route of its last topic arrived, but opens the stream at
 * the first: an answer in between is lost, and its start hangs until its own re-sync five minutes later. So it gets the
 * same Settings again, these times after the first answer of a stream, and with each heartbeat. No other SDK needs it,
 * and one of them appends the list of back-off steps anew with each Settings it reads.
 */
const NODE_REPEAT_AFTER_MS: readonly number[] = [200, 500, 2_000, 5_000];
const MINUTE_MS = 60_000;
/** A client that leaves more than this unread gets no further commands. */
const UNREAD_BYTES_MAX = 16 * 1024 * 1024;

const clientProperties = {
  countMax: 32,
  keyPattern: /^[a-zA-Z][a-zA-Z0-9_.-]{0,63}$/,
  valueLengthMax: 256,
  totalLengthMax: 4_096,
  reservedPrefix: 'rocketmq.',
} as const;

/** Telemetry: a stream per client and broker for settings and for commands to the client. */
export function telemetry(services: EdgeServices): RawMethod {
  const probe = services.probe.method('Telemetry');
  return {
    kind: 'bidi',
    path: methodPath('Telemetry'),
    handler: (stream, context) => {
      const { clock } = services;
      const call = edgeCall(context, clock.wallMs(), Number.MAX_SAFE_INTEGER - clock.wallMs());
      // One SDK waits for the headers before it sends anything.
      context.sendInitialMetadata();
      const session = new TelemetrySession(services, call, stream);
      const startedMs = clock.monotonicMs();
      stream.listen({
        message: (bytes) => session.received(bytes),
        ended: () => stream.end(),
        closed: () => {
          session.closed();
          countCall(probe, session.code, clock.monotonicMs() - startedMs);
        },
      });
      session.open();
    },
  };
}

/** Sends a Node.js client its Settings again; for everyone else it does nothing. */
export function repeatSettings(services: EdgeServices, clientId: string): void {
  const stream = services.registry.streamOf(clientId);
  if (stream instanceof TelemetrySession) stream.repeat();
}

/** Tells the clients of consumer groups that have a stream open here what their groups' settings are now. */
export function pushGroupSettings(registry: ClientRegistry, groups: readonly string[]): void {
  for (const stream of registry.streamsOfGroups(new Set(groups))) {
    if (stream instanceof TelemetrySession) stream.groupChanged();
  }
}

/** Ends all open streams: the process stops, and clients have to open them elsewhere. */
export function endTelemetry(registry: ClientRegistry): void {
  for (const stream of registry.openStreams()) stream.displace();
}

/** One open stream. */
class TelemetrySession implements ClientStream {
  /** Status code that the stream ended with, for the counters. */
  code = 20000;
  readonly #services: EdgeServices;
  readonly #call: EdgeCall;
  readonly #stream: RpcStream<Buffer, Buffer>;
  #attached = false;
  #reply: Buffer | null = null;
  /** What the client told last, and what it was told; null until then. */
  #settings: SettingsMessage | null = null;
  #told: SettingsMessage | null = null;
  #cancelRepeats: CancelTimer[] = [];
  #windowStartedMs = 0;
  #settingsInWindow = 0;

  constructor(services: EdgeServices, call: EdgeCall, stream: RpcStream<Buffer, Buffer>) {
    this.#services = services;
    this.#call = call;
    this.#stream = stream;
  }

  open(): void {
    try {
      requireClientId(this.#call);
      this.#services.registry.attach(this.#call.clientId, this);
      this.#attached = true;
    } catch (error) {
      // As for a caller that may not come in: a command that says why, then the end.
      const status = statusOf(error, this.#call.language);
      this.code = status.code;
      this.#services.probe.telemetryRefused++;
      this.#write({ status });
      this.#stream.end();
    }
  }

  received(bytes: Buffer): void {
    if (!this.#attached) return;
    try {
      this.#handle(bytes);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Sends the last Settings again, to a client of the language that needs it. */
  repeat(): void {
    if (this.#reply !== null && isNodeSdk(this.#call) && !this.#stream.closed)
      this.#stream.write(this.#reply);
  }

  /**
   * The consumer's group may have other settings now: it is told if they are. The C++ client appends the waits of every
   * Settings to those that it has, where they have no effect: for them alone it is left to its own next question.
   */
  groupChanged(): void {
    const { probe } = this.#services;
    if (this.#settings === null || !this.#attached || this.#stream.closed) return;
    if (this.#stream.pendingBytes > UNREAD_BYTES_MAX) return;
    const before = this.#told;
    const now = this.#answerTo(this.#settings);
    const command = telemetryCommandCodec().encode({ status: OK_STATUS, settings: now });
    if (this.#reply?.equals(command) === true) return;
    if (this.#call.language === 'CPP' && !differsBeyondWaits(before, now)) return;
    probe.settingsPushed++;
    this.#told = now;
    this.#reply = command;
    this.#stream.write(command);
  }

  send(command: Buffer): boolean {
    if (!this.#attached || this.#stream.closed) return false;
    if (this.#stream.pendingBytes > UNREAD_BYTES_MAX) return false;
    this.#stream.write(command);
    return true;
  }

  displace(): void {
    this.#attached = false;
    this.#stream.end();
  }

  closed(): void {
    for (const cancel of this.#cancelRepeats) cancel();
    this.#cancelRepeats = [];
    this.#services.registry.detach(this.#call.clientId, this);
    this.#attached = false;
  }

  #handle(bytes: Buffer): void {
    const { settings: limits, registry, probe } = this.#services;
    if (bytes.length > limits.settingsBytesMax) {
      throw new MqError(
        'PAYLOAD_TOO_LARGE',
        `a command on the Telemetry stream has ${bytes.length} bytes; at most ${limits.settingsBytesMax} are allowed`,
      );
    }
    const { command, settings } = decode(bytes);
    if (command !== 'settings' || settings === null || settings === undefined) {
      // Answers to commands that were never sent, and commands of newer clients.
      probe.telemetryIgnored++;
      return;
    }
    this.#countSettings();
    const { filters, ...description } = describe(settings, this.#call);
    registry.seen(this.#call.clientId, description);
    if (filters !== null && description.group !== null && filters.size > 0)
      this.#services.subscriptions.declared(this.#call.clientId, description.group, filters);
    this.#settings = settings;
    this.#told = this.#answerTo(settings);
    const first = this.#reply === null;
    this.#reply = this.#write({ status: OK_STATUS, settings: this.#told });
    if (first && isNodeSdk(this.#call)) this.#scheduleRepeats();
  }

  #answerTo(settings: SettingsMessage): SettingsMessage {
    const group = settings.subscription?.group;
    const behaviour = group
      ? groupBehaviour(this.#services, groupOf(resource(group), this.#call))
      : null;
    const { liteSubscriptionsMax } = this.#services.settings;
    const { language } = this.#call;
    const merged = mergeSettings(settings, { language, liteSubscriptionsMax, group: behaviour });
    return fitBackoff(merged, this.#call);
  }

  #countSettings(): void {
    const nowMs = this.#services.clock.monotonicMs();
    if (nowMs - this.#windowStartedMs > MINUTE_MS) {
      this.#windowStartedMs = nowMs;
      this.#settingsInWindow = 0;
    }
    const max = this.#services.settings.settingsPerMinuteMax;
    if (++this.#settingsInWindow > max) {
      throw new MqError('TOO_MANY_REQUESTS', `more than ${max} Settings in a minute on one stream`);
    }
  }

  #scheduleRepeats(): void {
    this.#cancelRepeats = NODE_REPEAT_AFTER_MS.map((afterMs) =>
      this.#services.clock.setTimer(afterMs, () => this.repeat()),
    );
  }

  #write(command: object): Buffer {
    const bytes = telemetryCommandCodec().encode(command);
    this.#stream.write(bytes);
    return bytes;
  }

  /** A command that cannot be carried out ends the stream, with the code family in the gRPC status. */
  #fail(error: unknown): void {
    const status: Status = statusOf(error, this.#call.language);
    this.code = status.code;
    this.#services.probe.telemetryRefused++;
    if (!isMqError(error)) reportUnexpected(this.#services, 'Telemetry', error);
    this.#attached = false;
    this.#services.registry.detach(this.#call.clientId, this);
    const client = status.code >= 40000 && status.code < 50000;
    this.#stream.fail(
      new RpcError(
        client ? 'INVALID_ARGUMENT' : 'INTERNAL',
        `process client telemetryCommand failed. ${status.message}`,
      ),
    );
  }
}

function decode(bytes: Buffer): TelemetryCommand {
  try {
    return telemetryCommandCodec().decode(bytes);
  } catch (error) {
    throw new MqError('BAD_REQUEST', `not a TelemetryCommand: ${errorText(error)}`, {
      cause: error,
    });
  }
}

function differsBeyondWaits(before: SettingsMessage | null, now: SettingsMessage): boolean {
  return (
    before?.subscription?.fifo !== now.subscription?.fifo ||
    before?.backoffPolicy?.maxAttempts !== now.backoffPolicy?.maxAttempts
  );
}

/**
 * Checks Settings and takes out what is remembered of a client.
 * @throws MqError by the first thing that is wrong
 */
function describe(
  settings: NonNullable<TelemetryCommand['settings']>,
  call: EdgeCall,
): ClientDescription & { readonly filters: ReadonlyMap<string, string> | null } {
  checkClientProperties(settings.clientProperties ?? {});
  const clientType = settings.clientType ?? 0;
  if (settings.publishing) {
    return {
      clientType,
      group: null,
      topics: settings.publishing.topics.map((topic) => topicOf(resource(topic), call)),
      filters: null,
    };
  }
  if (settings.subscription) {
    const { group, subscriptions } = settings.subscription;
    const topics = new Set<string>();
    const filters = new Map<string, string>();
    for (const { topic, expression } of subscriptions) {
      const name = topicOf(resource(topic), call);
      topics.add(name);
      const key = filterKey(expression, call);
      if (key !== null) filters.set(name, key);
    }
    const groupName = groupOf(resource(group), call);
    return { clientType, group: groupName, topics: [...topics], filters };
  }
  throw new MqError('BAD_REQUEST', 'Settings must hold either a publishing or a subscription part');
}

/**
 * The key of a filter that a client declares; null for one that is wrong, of which the client hears when it receives: every
 * SDK hands that error to its user. Told here, the starts of the Node.js, Go, Python and C++ SDKs wait for ever; only
 * Java's fails with the text.
 * @throws MqError ILLEGAL_FILTER_EXPRESSION to a Java client
 */
function filterKey(
  expression: SubscriptionEntryMessage['expression'],
  call: EdgeCall,
): string | null {
  if (expression === null) return ALL_MESSAGES.key;
  try {
    return parseMessageFilter(expression.type, expression.expression).key;
  } catch (error) {
    if (call.language === 'JAVA' || !isMqError(error)) throw error;
    return null;
  }
}

/** A name as the generic codec gives it; an absent one has no name, which no check lets through. */
function resource(message: ResourceMessage | null | undefined): Resource {
  return { namespace: message?.resourceNamespace ?? '', name: message?.name ?? '' };
}

function checkClientProperties(properties: Readonly<Record<string, string>>): void {
  const entries = Object.entries(properties);
  let total = 0;
  for (const [key, value] of entries) {
    total += key.length + value.length;
    if (!clientProperties.keyPattern.test(key) || key.startsWith(clientProperties.reservedPrefix)) {
      throw new MqError(
        'BAD_REQUEST',
        `the client property ${JSON.stringify(key.slice(0, 64))} is not allowed`,
      );
    }
    if (value.length > clientProperties.valueLengthMax) {
      throw new MqError(
        'BAD_REQUEST',
        `the client property ${key} has ${value.length} characters; at most ${clientProperties.valueLengthMax} are allowed`,
      );
    }
  }
  if (entries.length > clientProperties.countMax || total > clientProperties.totalLengthMax) {
    throw new MqError(
      'BAD_REQUEST',
      `too many or too long client properties; at most ${clientProperties.countMax} with ${clientProperties.totalLengthMax} characters in all`,
    );
  }
}
