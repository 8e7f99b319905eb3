/**
 * Messages of proto/raftmq/namesrv/v1/namesrv.proto, decoded: what brokers, NameServers and those who ask them share.
 */

/** Full name of the NameServer's service. */
export const NAMESRV_SERVICE = 'raftmq.namesrv.v1.NameServer';

/** A topic as one broker group has it. */
export interface RouteTopic {
  readonly name: string;
  /** NORMAL, FIFO, DELAY, TRANSACTION, MIXED, LITE, PRIORITY. */
  readonly type: string;
  readonly readQueues: number;
  readonly writeQueues: number;
  /** Bits: 4 readable, 2 writable. */
  readonly permission: number;
}

/** What a replica says about itself and, when it leads, about its group's topics. */
export interface BrokerRegistration {
  readonly cluster: string;
  readonly group: string;
  readonly nodeId: number;
  /** Wall clock at the start of the process: an older start never replaces a newer one. */
  readonly startedAtMs: number;
  /** `host:port` each; '' = none. */
  readonly grpcAddress: string;
  readonly remotingAddress: string;
  readonly metricsAddress: string;
  readonly raftAddress: string;
  readonly term: number;
  /** -1 = none known. */
  readonly leaderId: number;
  /** Grows with every change of the topics, along the log. */
  readonly topicsVersion: number;
  readonly topics: readonly RouteTopic[];
  /** The list was left out, as the NameServer acknowledged this version on this stream. */
  readonly topicsUnchanged: boolean;
}

export interface RegistrationAck {
  readonly topicsVersion: number;
  /** '' = taken over; else why not, and what to do. */
  readonly refused: string;
}

/** One replica of a group. */
export interface RouteReplica {
  readonly nodeId: number;
  readonly grpcAddress: string;
  readonly remotingAddress: string;
  readonly metricsAddress: string;
  readonly raftAddress: string;
  /** Since its last registration. */
  readonly ageMs: number;
}

/** A broker group, leader first among its replicas. */
export interface GroupRoute {
  readonly cluster: string;
  readonly group: string;
  readonly term: number;
  /** -1 while no leader is known. */
  readonly leaderId: number;
  readonly replicas: readonly RouteReplica[];
  /** The topic asked for; null in answers about the whole cluster. */
  readonly topic: RouteTopic | null;
}
