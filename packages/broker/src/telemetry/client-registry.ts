import { MqError, type CancelTimer, type Clock } from '@raftmq/base';

/** What a client has told about itself. */
export interface ClientDescription {
  /** Wire number of ClientType, 0 = not told. */
  readonly clientType: number;
  /** Full name of the consumer group, null for producers. */
  readonly group: string | null;
  /** Full names of the topics it declared. */
  readonly topics: readonly string[];
}

/** An open Telemetry stream, as the registry needs it. */
export interface ClientStream {
  /** The registry has no room for it any more; a newer stream of the same client took its place. */
  displace(): void;
  /** Writes an encoded TelemetryCommand. @returns false when the client is gone, or does not read what it was sent */
  send(command: Buffer): boolean;
}

interface Client {
  lastSeenMs: number;
  description: ClientDescription;
  /** Newest last. */
  streams: ClientStream[];
  /** Reported as expired; still here because a stream is open. */
  expired: boolean;
}

export interface ClientRegistryOptions {
  readonly clock: Clock;
  readonly clientsMax: number;
  readonly streamsMax: number;
  readonly expiryMs: number;
  readonly scanIntervalMs: number;
  /** Called once when a client was not heard of for `expiryMs`. */
  readonly expired: (clientId: string, group: string | null) => void;
}

const unknown: ClientDescription = { clientType: 0, group: null, topics: [] };

/**
 * Who is out there: every client this replica has heard of lately, directly or through another replica. Nothing that
 * moves messages depends on it; it lets auto-renew live with the client, and carries commands to it.
 */
export class ClientRegistry {
  readonly #options: ClientRegistryOptions;
  readonly #clients = new Map<string, Client>();
  #streams = 0;
  #cancelScan: CancelTimer | null = null;

  constructor(options: ClientRegistryOptions) {
    this.#options = options;
    this.#schedule();
  }

  get size(): number {
    return this.#clients.size;
  }

  get streams(): number {
    return this.#streams;
  }

  /**
   * Notes a sign of life, and what it told about the client; fields not told keep their value.
   * @throws MqError TOO_MANY_REQUESTS for a client beyond the limit
   */
  seen(clientId: string, told?: Partial<ClientDescription>): void {
    const client = this.#client(clientId);
    client.lastSeenMs = this.#options.clock.monotonicMs();
    client.expired = false;
    if (told !== undefined) client.description = { ...client.description, ...told };
  }

  /** What is known of a client; null when nothing is. */
  describe(clientId: string): ClientDescription | null {
    return this.#clients.get(clientId)?.description ?? null;
  }

  /**
   * Adds a stream as the client's newest; at the limit the oldest one is displaced.
   * @throws MqError TOO_MANY_REQUESTS for a client beyond the limit
   */
  attach(clientId: string, stream: ClientStream): void {
    const client = this.#client(clientId);
    client.lastSeenMs = this.#options.clock.monotonicMs();
    client.expired = false;
    client.streams.push(stream);
    this.#streams++;
    if (client.streams.length > this.#options.streamsMax) {
      const oldest = client.streams.shift();
      this.#streams--;
      oldest?.displace();
    }
  }

  /** The stream ended. The client stays known until it says goodbye or expires. */
  detach(clientId: string, stream: ClientStream): void {
    const client = this.#clients.get(clientId);
    const at = client?.streams.indexOf(stream) ?? -1;
    if (client === undefined || at < 0) return;
    client.streams.splice(at, 1);
    this.#streams--;
    if (client.expired && client.streams.length === 0) this.#clients.delete(clientId);
  }

  /** The stream that carries commands to a client: the newest one. */
  streamOf(clientId: string): ClientStream | null {
    return this.#clients.get(clientId)?.streams.at(-1) ?? null;
  }

  /** Ids of living producers that declared the topic (full name) and have a stream open here; at most `countMax`. */
  producersOf(topic: string, countMax: number): readonly string[] {
    const found: string[] = [];
    for (const [clientId, { description, streams, expired }] of this.#clients) {
      if (found.length >= countMax) break;
      if (expired || streams.length === 0 || description.group !== null) continue;
      if (description.topics.includes(topic)) found.push(clientId);
    }
    return found;
  }

  /** The newest stream of each client of these groups that has one open here. */
  streamsOfGroups(groups: ReadonlySet<string>): readonly ClientStream[] {
    const found: ClientStream[] = [];
    for (const { description, streams } of this.#clients.values()) {
      const stream = streams.at(-1);
      if (stream !== undefined && groups.has(description.group ?? '')) found.push(stream);
    }
    return found;
  }

  /** All open streams, as of now. */
  openStreams(): readonly ClientStream[] {
    return [...this.#clients.values()].flatMap((client) => client.streams);
  }

  /** Forgets a client that said goodbye; its streams end by themselves. Returns what was known, null for a stranger. */
  terminate(clientId: string): ClientDescription | null {
    const client = this.#clients.get(clientId);
    if (client === undefined) return null;
    this.#clients.delete(clientId);
    this.#streams -= client.streams.length;
    return client.description;
  }

  /** Clients by type, for metrics. */
  countByType(): Map<number, number> {
    const counts = new Map<number, number>();
    for (const { description } of this.#clients.values()) {
      counts.set(description.clientType, (counts.get(description.clientType) ?? 0) + 1);
    }
    return counts;
  }

  close(): void {
    this.#cancelScan?.();
    this.#cancelScan = null;
  }

  #client(clientId: string): Client {
    let client = this.#clients.get(clientId);
    if (client === undefined) {
      if (this.#clients.size >= this.#options.clientsMax) {
        throw new MqError(
          'TOO_MANY_REQUESTS',
          `${this.#options.clientsMax} clients are registered here, which is the limit (setting clientsMax)`,
        );
      }
      client = { lastSeenMs: 0, description: unknown, streams: [], expired: false };
      this.#clients.set(clientId, client);
    }
    return client;
  }

  #schedule(): void {
    const { clock, scanIntervalMs } = this.#options;
    this.#cancelScan = clock.setTimer(scanIntervalMs, () => {
      this.#scan();
      this.#schedule();
    });
  }

  #scan(): void {
    const oldestMs = this.#options.clock.monotonicMs() - this.#options.expiryMs;
    for (const [clientId, client] of this.#clients) {
      // An open stream alone proves nothing: a half-open connection looks the same. Heartbeats come every 10 to 30 s.
      if (client.lastSeenMs > oldestMs || client.expired) continue;
      // The stream stays: one SDK never opens a second one, and may just have been suspended.
      client.expired = true;
      if (client.streams.length === 0) this.#clients.delete(clientId);
      this.#options.expired(clientId, client.description.group);
    }
  }
}
