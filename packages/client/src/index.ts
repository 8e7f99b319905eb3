export { type AdminClientOptions } from './admin/admin-calls.js';
export { AdminClient, type ResetRequest } from './admin/admin-client.js';
export { messageMissing } from './admin/message-admin.js';
export {
  type ConsumeStatus,
  type FoundMessage,
  type FoundMessages,
  type FoundState,
  type ListMessagesInput,
  type MessageTrace,
  type QueryMessagesInput,
  type TraceEvent,
} from './admin/message-model.js';
export {
  type ConsumerGroupInfo,
  type ConsumerGroupStatus,
  type DeadLetterInfo,
  type GroupInfo,
  type RaftGroupStatus,
  type RaftReplicaStatus,
  type ReplicaInfo,
  type ResendOutcome,
  type ResetQueue,
  type ResetTarget,
  type SubscriptionConflict,
  type TopicInfo,
  type TopicStatus,
  type TransactionInfo,
  type TransactionMessage,
} from './admin/model.js';
export { type LiteSubscriptions } from './consumer/lite-subscriptions.js';
export { MessageView } from './consumer/message-view.js';
export { type OffsetPlace, type PullQueue } from './consumer/offset-calls.js';
export { PullConsumer, type PullConsumerOptions } from './consumer/pull-consumer.js';
export {
  PushConsumer,
  RejectedMessage,
  type MessageBatchListener,
  type MessageListener,
  type PushConsumerOptions,
} from './consumer/push-consumer.js';
export { SimpleConsumer, type SimpleConsumerOptions } from './consumer/simple-consumer.js';
export { type FilterInput, type SubscriptionsInput } from './consumer/subscription.js';
export { addressesOf, parseEndpoints } from './endpoints.js';
export { type ClientCredentials, type ClientOptions } from './options.js';
export { type DeliveryTimeInput } from './producer/delivery-time.js';
export { type MessageInput, type SendReceipt } from './producer/message.js';
export { Producer, type ProducerOptions } from './producer/producer.js';
export {
  type Transaction,
  type TransactionChecker,
  type TransactionOptions,
  type TransactionResolution,
} from './producer/transaction.js';
export { type BrokerTarget, type Route } from './route-cache.js';
