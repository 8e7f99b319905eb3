import { type Prng } from '@raftmq/base';
import { type MessagingService } from '@raftmq/broker/internal';
import { type ManualClock } from '@raftmq/broker/testing';
import { type BrokerWatch } from '@raftmq/testkit';

/** What the parts of a model run work with. */
export interface ModelTools {
  readonly prng: Prng;
  readonly clock: ManualClock;
  readonly watch: BrokerWatch;
  /** The service of the replica that leads now. */
  readonly service: () => MessagingService;
}
