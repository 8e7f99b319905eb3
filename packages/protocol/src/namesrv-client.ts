import { errorText, MqError } from '@raftmq/base';
import { RpcChannel, type RpcService } from '@raftmq/rpc';
import { NAMESRV_SERVICE, type GroupRoute } from './namesrv-messages.js';

export interface NameserverClientOptions {
  /** `host:port` of each NameServer; at least one. */
  readonly addresses: readonly string[];
  /** Time for one NameServer to answer, before the next one is asked. Default 3 s. */
  readonly timeoutMs?: number;
}

interface Asked {
  readonly address: string;
  readonly channel: RpcChannel;
  readonly service: RpcService;
}

const TIMEOUT_MS = 3_000;

/**
 * Asks NameServers, which know the same but never talk to each other: stays with the one that answered last, goes on to
 * the next when it fails, or when it knows nothing (it may have started a moment ago). The owner closes it.
 */
export class NameserverClient {
  readonly #timeoutMs: number;
  readonly #asked: readonly Asked[];
  #preferred = 0;

  /** @throws MqError CONFIG_INVALID without an address */
  constructor(options: NameserverClientOptions) {
    if (options.addresses.length === 0) {
      throw new MqError('CONFIG_INVALID', 'no NameServer is given: set NAMESRV_ADDR, or name one');
    }
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#asked = options.addresses.map((address) => {
      const channel = new RpcChannel({ address, tls: null });
      return { address, channel, service: channel.service(NAMESRV_SERVICE) };
    });
  }

  /**
   * The groups that have a topic, leader first in each; [] = no NameServer knows it.
   * @throws MqError HA_NOT_AVAILABLE when no NameServer answers
   */
  topicRoute(topic: string): Promise<readonly GroupRoute[]> {
    return this.#ask('GetTopicRoute', { topic });
  }

  /**
   * All groups and replicas.
   * @throws MqError HA_NOT_AVAILABLE when no NameServer answers
   */
  cluster(): Promise<readonly GroupRoute[]> {
    return this.#ask('GetCluster', {});
  }

  close(): void {
    for (const { channel } of this.#asked) channel.close();
  }

  async #ask(method: string, request: object): Promise<readonly GroupRoute[]> {
    const failures: string[] = [];
    const first = this.#preferred;
    for (let i = 0; i < this.#asked.length; i++) {
      const at = (first + i) % this.#asked.length;
      const { address, service } = this.#asked[at]!;
      try {
        const settings = { deadlineMs: Date.now() + this.#timeoutMs };
        const { groups } = await service.unary<{ groups: GroupRoute[] }>(method, request, settings);
        if (groups.length === 0) continue;
        this.#preferred = at;
        return groups;
      } catch (error) {
        failures.push(`${address}: ${errorText(error)}`);
      }
    }
    if (failures.length < this.#asked.length) return [];
    throw new MqError(
      'HA_NOT_AVAILABLE',
      `no NameServer answers (${failures.join('; ')}): check that one is running there`,
    );
  }
}
