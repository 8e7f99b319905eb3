import { type Clock, type Logger } from '@raftmq/base';
import { type CommitLogReader, type QueueIndex } from '@raftmq/broker-store';
import { type StoredHost } from '@raftmq/protocol';
import { type BrokerStateMachine } from '../state/state-machine.js';
import { type TimerSettings } from '../timers/settings.js';
import { type Proposer } from './proposals.js';
import { type MessagingServiceSettings } from './settings.js';

/** What a messaging service works with. */
export interface MessagingServiceOptions {
  readonly state: BrokerStateMachine;
  readonly proposer: Proposer;
  readonly queueIndex: QueueIndex;
  readonly log: Pick<CommitLogReader, 'cachedRecord' | 'readRecord'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly settings: MessagingServiceSettings;
  /** Defaults when left out. */
  readonly timerSettings?: Partial<TimerSettings>;
  /** Name of the broker group; part of every receipt handle. */
  readonly brokerGroup: string;
  /** Address written into stored messages; unknown when left out. */
  readonly storeHost?: StoredHost;
  /**
   * Resolves when a majority has confirmed that this replica leads, and everything committed before the call is applied.
   * Left out where one replica is all there is.
   */
  readonly confirmLeading?: () => Promise<unknown>;
  /** For the secret of receipt handles; the system's generator when left out. */
  readonly randomBytes?: (sizeBytes: number) => Buffer;
}
