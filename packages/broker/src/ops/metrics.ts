import { type ProbedMetric } from '@raftmq/base';
import { type MessageIndex } from '@raftmq/broker-store';
import { type RaftProbe, type RaftStatus } from '@raftmq/raft';
import { type ConnectionProbe, type FrontDoorProbe, type RpcServerProbe } from '@raftmq/rpc';
import { type MessagingProbe } from '../messaging-service/probe.js';
import { type TransactionProbe } from '../messaging-service/transactions/probe.js';
import { type StateProbe } from '../state/probe.js';
import { type ClientRegistry } from '../telemetry/client-registry.js';
import { type SubscriptionWatch } from '../telemetry/subscription-watch.js';
import { type DiskWatermark } from './disk-watermark.js';
import { compatibilityMetrics, edgeMetrics } from './edge-metrics.js';
import { type EdgeProbe } from './edge-probe.js';
import { type ConsumerLag } from './replica-stats.js';
import { type LiteStats } from '../lite/lite-table.js';
import { type TimerProbe } from '../timers/probe.js';
import { timerMetrics } from './timer-metrics.js';
import { messageIndexMetrics } from './message-index-metrics.js';
import { deliveryMetrics, raftMetrics, storeMetrics } from './replica-metrics.js';
import { transactionMetrics } from './transaction-metrics.js';

/** What metrics show of transactions. */
export interface TransactionsSource {
  readonly probe: TransactionProbe;
  readonly parkedCount: number;
  pendingByTopic(): ReadonlyMap<string, number>;
}

/** Everything that metrics are read from; all plain fields. */
export interface MetricsSource {
  readonly cluster: string;
  readonly group: string;
  readonly nodeId: number;
  readonly edge: EdgeProbe;
  readonly rpc: RpcServerProbe;
  readonly door: () => FrontDoorProbe | null;
  readonly clientConnections: ConnectionProbe;
  readonly connections: () => number;
  readonly registry: ClientRegistry;
  readonly subscriptions: SubscriptionWatch;
  readonly forwarding: () => number;
  readonly disk: DiskWatermark;
  readonly raft: RaftProbe;
  readonly raftStatus: () => RaftStatus;
  readonly state: StateProbe;
  readonly messaging: MessagingProbe;
  readonly waitingPolls: () => number;
  readonly consumerLag: () => Iterable<ConsumerLag>;
  readonly transactions: TransactionsSource;
  readonly lite: () => LiteStats;
  readonly timers: {
    readonly probe: TimerProbe;
    readonly pending: () => number;
    readonly loaded: () => number;
    readonly loadedBytes: () => number;
  };
  readonly rememberedSends: () => { readonly count: number; readonly sizeBytes: number };
  readonly log: {
    readonly firstPosition: number;
    readonly endPosition: number;
    readonly counters: {
      readonly appendedBytes: number;
      readonly batches: number;
      readonly syncs: number;
      readonly syncMs: number;
      readonly pendingBytes: number;
    };
  };
  readonly messageIndex: Pick<MessageIndex, 'counters' | 'missingBytes' | 'runCount'>;
  readonly ready: () => boolean;
}

/** All metrics of a broker. Rates, shares and means are for the one who reads them to compute. */
export function brokerMetrics(source: MetricsSource): readonly ProbedMetric[] {
  return [
    ...edgeMetrics(source),
    ...raftMetrics(source),
    ...storeMetrics(source),
    ...messageIndexMetrics(source),
    ...deliveryMetrics(source),
    ...transactionMetrics(source),
    ...timerMetrics(source),
    ...compatibilityMetrics(source),
  ];
}
