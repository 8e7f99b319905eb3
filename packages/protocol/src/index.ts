export { bodyMatchesDigest } from './body-digest.js';
export { statusCode, statusCodeName, type StatusCode, type StatusCodeName } from './codes.js';
export {
  decodeAckMessageRequest,
  decodeAckMessageResponse,
  encodeAckMessageRequest,
  encodeAckMessageResponse,
  type AckEntry,
  type AckRequest,
  type AckResponse,
  type AckResult,
} from './codec/ack.js';
export {
  clientType,
  decodeHeartbeatRequest,
  decodeNotifyClientTerminationRequest,
  decodeStatusResponse,
  encodeHeartbeatRequest,
  encodeNotifyClientTerminationRequest,
  type HeartbeatRequest,
} from './codec/client-calls.js';
export {
  decodeChangeInvisibleDurationRequest,
  decodeChangeInvisibleDurationResponse,
  decodeForwardToDeadLetterRequest,
  encodeChangeInvisibleDurationRequest,
  encodeChangeInvisibleDurationResponse,
  encodeForwardToDeadLetterRequest,
  type ChangeInvisibleRequest,
  type ChangeInvisibleResponse,
  type ForwardToDeadLetterRequest,
} from './codec/consumer-calls.js';
export { decodeOffsetMessageId, encodeOffsetMessageId } from './codec/offset-message-id.js';
export {
  decodeSyncLiteSubscriptionRequest,
  encodeSyncLiteSubscriptionRequest,
  liteAction,
  type LiteStart,
  type LiteSubscriptionRequest,
} from './codec/lite-subscription.js';
export {
  encodePullMessagePart,
  encodeReceiveMessagePart,
  encodeRecoverOrphanedTransaction,
  encodeTopicResource,
  type BodyDigestName,
  type Delivery,
} from './codec/delivered-message.js';
export {
  decodeEndTransactionRequest,
  encodeEndTransactionRequest,
  transactionResolution,
  transactionSource,
  type EndTransactionRequest,
} from './codec/end-transaction.js';
export {
  DEAD_LETTER_REASON_HEADER,
  deadLetterProperty,
  deadLetterReason,
  decodeProperties,
  encodeProperties,
  KEY_SEPARATOR,
  propertyName,
  propertyNameHash,
  reservedPropertyNames,
} from './codec/properties.js';
export {
  decodeReceiveMessageRequest,
  encodeReceiveMessageRequest,
  filterType,
  type ReceiveMessageRequest,
} from './codec/receive-request.js';
export {
  decodeGroupOffsetRequest,
  decodeOffsetResponse,
  decodePullMessageRequest,
  decodeQueryOffsetRequest,
  encodeGroupOffsetRequest,
  encodeOffsetResponse,
  encodePullMessageRequest,
  encodePullNextOffset,
  encodeQueryOffsetRequest,
  queryOffsetPolicy,
  type GroupOffsetRequest,
  type OffsetResponse,
  type PullMessageRequest,
  type QueryOffsetRequest,
} from './codec/offset-calls.js';
export {
  decodePullMessageResponse,
  decodeReceiveMessageResponse,
  decodeRecoverOrphanedTransaction,
  encodeReceiveDeliveryTimestamp,
  type OrphanedTransaction,
  type PullPart,
  type ReceivedMessage,
  type ReceivePart,
} from './codec/receive-response.js';
export {
  addressScheme,
  decodeQueryAssignmentRequest,
  decodeQueryAssignmentResponse,
  decodeQueryRouteRequest,
  decodeQueryRouteResponse,
  encodeQueryAssignmentRequest,
  encodeQueryAssignmentResponse,
  encodeQueryRouteRequest,
  encodeQueryRouteResponse,
  queuePermission,
  type Endpoints,
  type RouteQueue,
  type RouteRequest,
  type RouteResponse,
} from './codec/route.js';
export {
  decodeRecallMessageRequest,
  decodeRecallMessageResponse,
  encodeRecallMessageRequest,
  encodeRecallMessageResponse,
  type RecallRequest,
  type RecallResponse,
} from './codec/recall.js';
export { encodeSendMessageRequest, type OutgoingMessage } from './codec/send-encode.js';
export {
  decodeSendMessageRequest,
  type SendContext,
  type SendRequest,
} from './codec/send-request.js';
export {
  commonStatus,
  decodeSendMessageResponse,
  encodeSendMessageResponse,
  encodeSendOkResponse,
  type SendResponse,
  type SendResultEntry,
} from './codec/send-response.js';
export {
  encodeStoredMessage,
  placeTransactionalMessage,
  stampStoredMessage,
  type StoredTransition,
} from './codec/stored-copy.js';
export {
  decodeStoredMessage,
  isStoredMessage,
  storedBody,
  storedBodyCrc,
  storedBodySizeBytes,
  storedBodyStart,
  storedBornTimestampMs,
  storedMessageId,
  storedPhysicalOffset,
  storedProperties,
  storedProperty,
  storedQueueId,
  storedQueueOffset,
  storedReconsumeTimes,
  storedSizeBytes,
  storedStoreHost,
  storedStoreTimestampMs,
  storedSysFlag,
  storedLiteTopic,
  storedExpiryMs,
  storedTag,
  storedTopic,
  type StoredMessage,
} from './codec/stored-fields.js';
export { StoredView } from './codec/stored-view.js';
export {
  formatStoredHost,
  parseStoredHost,
  UNKNOWN_HOST,
  type StoredHost,
} from './codec/stored-host.js';
export {
  placeStoredMessage,
  prepareStoredMessage,
  STORED_MESSAGE_MAGIC,
  storedMessageSizeBytes,
  sysFlag,
  writeStoredMessage,
  type PreparedMessage,
  type PrepareOptions,
  type StoredPlacement,
} from './codec/stored-message.js';
export { parseTagExpression } from './filter/tags.js';
export {
  ALL_MESSAGES,
  parseMessageFilter,
  passesFilter,
  tagFilter,
  type MessageFilter,
} from './filter/message-filter.js';
export { compileSqlFilter, type SqlFilter } from './filter/sql-filter.js';
export {
  brokerDefaults,
  consumeLimits,
  nameLimits,
  protocolLimits,
  settingsDefaults,
  type SendLimits,
} from './limits.js';
export { DEFAULT_DELAY_LEVELS, delayOfLevel, parseDelayLevels } from './model/delay-levels.js';
export { fifoQueueIndex, javaStringHashCode, jumpConsistentHash } from './model/fifo-queue.js';
export { parseClientLanguage, type ClientLanguage } from './model/language.js';
export {
  bodyEncoding,
  digestType,
  type BodyDigest,
  type DecodedMessage,
  type PublishMessage,
  type Resource,
} from './model/message.js';
export {
  checkRetryPolicy,
  defaultRetryPolicy,
  retryPolicyLimits,
  retryWaitMs,
  retryWaitsMs,
  type RetryPolicy,
} from './model/retry-policy.js';
export {
  consumerRetryPolicy,
  durationMessage,
  durationMs,
  mergeSettings,
  producerRetryPolicy,
  type DurationMessage,
  type PublishingMessage,
  type ResourceMessage,
  type RetryPolicyMessage,
  type ServerSettings,
  type SettingsMessage,
  type SubscriptionEntryMessage,
  type SubscriptionMessage,
} from './model/settings.js';
export {
  acceptedMessageTypes,
  messageType,
  messageTypeName,
  parseTopicType,
  topicAccepts,
  topicTypeFor,
  topicTypes,
  type MessageType,
  type MessageTypeName,
  type TopicType,
} from './model/topic.js';
export {
  checkGroupName,
  checkTopicName,
  deadLetterTopic,
  DLQ_TOPIC_PREFIX,
  groupOfGroupTopic,
  isBlank,
  isGroupTopic,
  isSystemTopic,
  measureText,
  PARKED_TRANSACTIONS_TOPIC,
  resolveGroup,
  resolveTopic,
  RETRY_TOPIC_PREFIX,
  splitFullName,
  topicNotFound,
} from './names.js';
export {
  peekReceiptHandle,
  RECEIPT_SECRET_SIZE_BYTES,
  ReceiptHandles,
  ReceiptLease,
  type ClaimedReceipt,
  type ReceiptHandle,
} from './receipt-handle.js';
export {
  peekRecallHandle,
  RecallHandles,
  type ClaimedRecall,
  type RecallHandle,
} from './recall-handle.js';
export {
  encodeStatusResponse,
  OK_STATUS,
  statusOf,
  statusWithName,
  type Status,
} from './status.js';
export {
  checkLiteTopic,
  validateSend,
  validateSendContent,
  validateSendTopic,
} from './validate-send.js';
export { NameserverClient, type NameserverClientOptions } from './namesrv-client.js';
export {
  NAMESRV_SERVICE,
  type BrokerRegistration,
  type GroupRoute,
  type RegistrationAck,
  type RouteReplica,
  type RouteTopic,
} from './namesrv-messages.js';
export { parseTtlMs, TTL_PROPERTY } from './model/message-ttl.js';
