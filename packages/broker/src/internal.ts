export {
  type AckTarget,
  type DeliveredMessage,
  type GroupConfig,
  type HalfPublish,
  type OffsetQuery,
  type PublishMessage,
  type ReceiveRequest,
  type ResetTarget,
  type SendResult,
  type TimedPublishMessage,
  type TopicConfig,
} from './messaging.js';
export { MessagingService } from './messaging-service/messaging-service.js';
export { type Proposer } from './messaging-service/proposals.js';
export {
  messagingServiceSettings,
  type MessagingServiceSettings,
} from './messaging-service/settings.js';
export {
  type ProducerLink,
  type ReachableProducer,
} from './messaging-service/transactions/producers.js';
export { type DeliveryGrant, type DeliveryOutcome, type DeliveryRun } from './pop/delivery.js';
export { Checkpoints } from './state/checkpoints.js';
export {
  decodeCommand,
  encodeCommand,
  isCommandMagic,
  type ChangeInvisibleResult,
  type Command,
  type DeliveryName,
} from './state/commands/index.js';
export { RecentSends } from './state/recent-sends.js';
export { openBrokerState } from './state/recovery.js';
export { stateSettings, type StateSettings } from './state/settings.js';
export { type BrokerStateMachine } from './state/state-machine.js';
export { type TimerSettings } from './timers/settings.js';
