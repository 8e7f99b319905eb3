import { errorText, type Logger } from '@raftmq/base';
import { type RpcChannel } from '@raftmq/rpc';
import { joinHostPort } from '../config.js';
import {
  type ProducerLink,
  type ReachableProducer,
} from '../messaging-service/transactions/producers.js';
import { type ClientRegistry } from '../telemetry/client-registry.js';
import { type ReplicaAddress } from './group-directory.js';

/** Service in which replicas ask each other about their clients. */
export const PEER_SERVICE = 'raftmq.peer.v1.Peer';
/** Producers of one topic that are worth knowing. */
export const PRODUCERS_MAX = 64;

export interface ProducerFinderOptions {
  readonly nodeId: number;
  readonly registry: ClientRegistry;
  /** All replicas of the group. */
  readonly replicas: () => readonly ReplicaAddress[];
  readonly channel: (address: string) => RpcChannel;
  readonly logger: Logger;
}

const FIND_TIMEOUT_MS = 1_000;
const HAND_TIMEOUT_MS = 3_000;

/** Finds producers at all replicas of the group, and hands them commands through the replica that holds their stream. */
export class ProducerFinder implements ProducerLink {
  readonly #options: ProducerFinderOptions;

  constructor(options: ProducerFinderOptions) {
    this.#options = options;
  }

  async find(topic: string): Promise<readonly ReachableProducer[]> {
    const { nodeId, registry, replicas } = this.#options;
    const own = registry.producersOf(topic, PRODUCERS_MAX);
    const lists = await Promise.all(
      replicas()
        .filter((replica) => replica.nodeId !== nodeId)
        .map((replica) => this.#findAt(replica, topic)),
    );
    return [own.map((clientId) => ({ clientId, nodeId })), ...lists].flat();
  }

  async hand(producer: ReachableProducer, command: Buffer): Promise<boolean> {
    const { nodeId, registry, replicas } = this.#options;
    const { clientId } = producer;
    if (producer.nodeId === nodeId) return registry.streamOf(clientId)?.send(command) ?? false;
    const replica = replicas().find((other) => other.nodeId === producer.nodeId);
    if (replica === undefined) return false;
    const request = { clientId, command };
    const answer = await this.#ask<{ written: boolean }>(
      replica,
      'HandCommand',
      request,
      HAND_TIMEOUT_MS,
    );
    return answer?.written === true;
  }

  async #findAt(replica: ReplicaAddress, topic: string): Promise<readonly ReachableProducer[]> {
    const request = { topic, countMax: PRODUCERS_MAX };
    const answer = await this.#ask<{ clientIds: readonly string[] }>(
      replica,
      'FindProducers',
      request,
      FIND_TIMEOUT_MS,
    );
    const { nodeId } = replica;
    return (answer?.clientIds ?? []).map((clientId) => ({ clientId, nodeId }));
  }

  /** @returns null when the replica does not answer: its clients will find another one */
  async #ask<T extends object>(
    replica: ReplicaAddress,
    method: string,
    request: object,
    timeoutMs: number,
  ): Promise<T | null> {
    const { channel, logger } = this.#options;
    try {
      const stub = channel(joinHostPort(replica.host, replica.port)).service(PEER_SERVICE);
      return await stub.unary<T>(method, request, { deadlineMs: Date.now() + timeoutMs });
    } catch (error) {
      logger.debug(
        { replica: replica.nodeId, method, error: errorText(error) },
        'replica did not answer a question about its clients',
      );
      return null;
    }
  }
}
