export { MessageView } from './consumer/message-view.js';
export { SimpleConsumer, type SimpleConsumerOptions } from './consumer/simple-consumer.js';
export { type FilterInput, type SubscriptionsInput } from './consumer/subscription.js';
export { addressesOf, parseEndpoints } from './endpoints.js';
export { createClientId, MessageIdGenerator } from './ids.js';
export { MessagingRpc, messagingPath, type ReceiveAnswer } from './messaging-rpc.js';
export {
  clientLimits,
  compileClientOptions,
  type ClientCredentials,
  type ClientOptions,
  type CompiledClientOptions,
} from './options.js';
export { type MessageInput, type SendReceipt } from './producer/message.js';
export { Producer, type ProducerOptions } from './producer/producer.js';
export { RouteCache, type BrokerTarget, type Route } from './route-cache.js';
export { isOk, statusToError } from './status-error.js';
