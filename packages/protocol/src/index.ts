export { statusCode, statusCodeName, type StatusCode, type StatusCodeName } from './codes.js';
export {
  decodeProperties,
  encodeProperties,
  propertyName,
  reservedPropertyNames,
} from './codec/properties.js';
export {
  decodeStoredMessage,
  isStoredMessage,
  storedBody,
  storedBodySizeBytes,
  storedBodyStart,
  storedBornTimestampMs,
  storedMessageId,
  storedPhysicalOffset,
  storedProperty,
  storedQueueId,
  storedQueueOffset,
  storedReconsumeTimes,
  storedSizeBytes,
  storedStoreTimestampMs,
  storedSysFlag,
  storedTag,
  storedTopic,
  type StoredMessage,
} from './codec/stored-fields.js';
export {
  formatStoredHost,
  parseStoredHost,
  UNKNOWN_HOST,
  type StoredHost,
} from './codec/stored-host.js';
export {
  prepareStoredMessage,
  STORED_MESSAGE_MAGIC,
  storedMessageSizeBytes,
  sysFlag,
  writeStoredMessage,
  type PreparedMessage,
  type PrepareOptions,
  type StoredPlacement,
} from './codec/stored-message.js';
export { fifoQueueIndex, javaStringHashCode, jumpConsistentHash } from './model/fifo-queue.js';
export {
  bodyEncoding,
  digestType,
  type BodyDigest,
  type DecodedMessage,
  type PublishMessage,
  type Resource,
} from './model/message.js';
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
