import { advertisedHost, joinHostPort, type Peer } from './config.js';
import { type ReplicaAddress } from './forward/group-directory.js';
import { type BrokerSettings } from './settings.js';

/** Where this replica and the others of its group are reached. */
export class GroupAddresses {
  readonly #settings: BrokerSettings;
  readonly #peers: readonly Peer[];
  readonly #grpcPort: () => number;
  /** Host that clients are told. */
  readonly host: string;

  /** @param grpcPort the port that this replica listens on, once it does */
  constructor(settings: BrokerSettings, peers: readonly Peer[], grpcPort: () => number) {
    this.#settings = settings;
    this.#peers = peers;
    this.#grpcPort = grpcPort;
    this.host = advertisedHost(settings, peers);
  }

  /** Ids of all replicas of the group, ascending. */
  get voters(): readonly number[] {
    if (this.#peers.length === 0) return [this.#settings.nodeId];
    return this.#peers.map((peer) => peer.nodeId);
  }

  /** What clients are told to connect to. */
  get own(): ReplicaAddress {
    const { nodeId } = this.#settings;
    // A port in `peers` may be one that a proxy or container maps to ours.
    const peer = this.#peers.find((candidate) => candidate.nodeId === nodeId);
    return { nodeId, host: this.host, port: peer?.grpcPort ?? this.#grpcPort() };
  }

  /** All replicas of the group, ascending by id; the others as `peers` lists them. */
  replicas(): readonly ReplicaAddress[] {
    const { own } = this;
    if (this.#peers.length === 0) return [own];
    return this.#peers.map((peer) =>
      peer.nodeId === own.nodeId
        ? own
        : { nodeId: peer.nodeId, host: peer.grpcHost, port: peer.grpcPort },
    );
  }

  /** `host:port` of a replica's raft port; '' in a group of one. */
  raft(nodeId: number): string {
    const peer = this.#peers.find((candidate) => candidate.nodeId === nodeId);
    return peer === undefined ? '' : joinHostPort(peer.raftHost, peer.raftPort);
  }
}
