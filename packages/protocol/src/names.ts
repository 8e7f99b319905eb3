import { type ErrorCode, MqError } from '@raftmq/base';
import { nameLimits } from './limits.js';
import { type Resource } from './model/message.js';

/** Topic of a group's retried messages: `%RETRY%group`. */
export const RETRY_TOPIC_PREFIX = '%RETRY%';
/** Topic of a group's dead letters: `%DLQ%group`. */
export const DLQ_TOPIC_PREFIX = '%DLQ%';
/** Topic of transactional messages that were asked about as often as is allowed, without a decision. */
export const PARKED_TRANSACTIONS_TOPIC = 'TRANS_CHECK_MAX_TIME_TOPIC';
const SYSTEM_TOPIC_PREFIX = 'rmq_sys_';
const SYSTEM_GROUP_PREFIX = 'CID_RMQ_SYS_';

const systemTopics: ReadonlySet<string> = new Set([
  'TBW102',
  'SCHEDULE_TOPIC_XXXX',
  'BenchmarkTest',
  'RMQ_SYS_TRANS_HALF_TOPIC',
  'RMQ_SYS_TRACE_TOPIC',
  'RMQ_SYS_TRANS_OP_HALF_TOPIC',
  PARKED_TRANSACTIONS_TOPIC,
  'SELF_TEST_TOPIC',
  'OFFSET_MOVED_EVENT',
  'CHECKPOINT_TOPIC',
]);

const systemGroups: ReadonlySet<string> = new Set([
  'DEFAULT_CONSUMER',
  'TOOLS_CONSUMER',
  'FILTERSRV_CONSUMER',
  'SELF_TEST_C_GROUP',
  'CID_ONS-HTTP-PROXY',
  'CID_ONSAPI_PULL',
  'CID_ONSAPI_PERMISSION',
  'CID_ONSAPI_OWNER',
  'CID_RMQ_SYS_TRANS',
]);

const NAME = /^[%|a-zA-Z0-9_-]+$/;
const NAMESPACE = /^[a-zA-Z0-9_-]+$/;

/**
 * Checks a topic name: ASCII letters, digits, `%`, `|`, `_` and `-`, at most 127 of them, and no system topic.
 * `__proto__` and `constructor` are legal by this rule, so names must only ever index Maps.
 *
 * @throws MqError ILLEGAL_TOPIC
 */
export function checkTopicName(name: string): void {
  checkName(name, 'topic', nameLimits.topicLengthMax, 'ILLEGAL_TOPIC');
  if (isSystemTopic(name))
    throw new MqError(
      'ILLEGAL_TOPIC',
      `topic "${name}" is reserved for the system; choose another name`,
    );
}

/**
 * Checks a consumer group name: as a topic, at most 120 characters, and no system group.
 *
 * @throws MqError ILLEGAL_CONSUMER_GROUP
 */
export function checkGroupName(name: string): void {
  checkName(name, 'consumer group', nameLimits.groupLengthMax, 'ILLEGAL_CONSUMER_GROUP');
  if (systemGroups.has(name) || name.startsWith(SYSTEM_GROUP_PREFIX)) {
    throw new MqError(
      'ILLEGAL_CONSUMER_GROUP',
      `consumer group "${name}" is reserved for the system; choose another name`,
    );
  }
}

function checkName(name: string, what: string, lengthMax: number, code: ErrorCode): void {
  if (name.length > lengthMax)
    throw new MqError(
      code,
      `the ${what} name has ${name.length} characters; at most ${lengthMax} are allowed`,
    );
  if (!NAME.test(name)) {
    const shown =
      name.trim() === ''
        ? 'is blank'
        : `${JSON.stringify(name)} has a character that is not allowed`;
    throw new MqError(
      code,
      `the ${what} name ${shown}; use letters, digits, "%", "|", "_" and "-"`,
    );
  }
}

/** Whether the broker keeps this topic for itself. */
export function isSystemTopic(name: string): boolean {
  return systemTopics.has(name) || name.startsWith(SYSTEM_TOPIC_PREFIX);
}

/** Whether the topic holds dead letters or retried messages of a group: these take messages of any type. */
export function isGroupTopic(name: string): boolean {
  return name.startsWith(DLQ_TOPIC_PREFIX) || name.startsWith(RETRY_TOPIC_PREFIX);
}

/** The group whose dead letters or retried messages a topic holds, as a full name; null for other topics. */
export function groupOfGroupTopic(name: string): string | null {
  const prefix = groupTopicPrefix(name);
  return prefix === '' || name.length === prefix.length ? null : name.slice(prefix.length);
}

/** The dead-letter topic of a group, both as full names: `%DLQ%group` or `%DLQ%namespace%group`. */
export function deadLetterTopic(group: string): string {
  return DLQ_TOPIC_PREFIX + group;
}

/**
 * The full name of a topic: `namespace%name` with a namespace, the prefix of dead-letter and retry topics in front.
 * The answer to a client must echo its own {@link Resource}, not this.
 *
 * @param headerNamespace value of `x-mq-namespace`; counts when the resource has no namespace of its own
 * @throws MqError ILLEGAL_TOPIC when name, namespace or both together are not allowed
 */
export function resolveTopic(resource: Resource, headerNamespace = ''): string {
  checkTopicName(resource.name);
  const full = fullName(resource, headerNamespace, 'ILLEGAL_TOPIC');
  if (full.length > nameLimits.topicLengthMax) {
    throw new MqError(
      'ILLEGAL_TOPIC',
      `the topic name has ${full.length} characters with its namespace; at most ${nameLimits.topicLengthMax} are allowed`,
    );
  }
  return full;
}

/**
 * The full name of a consumer group, as {@link resolveTopic}.
 *
 * @throws MqError ILLEGAL_CONSUMER_GROUP
 */
export function resolveGroup(resource: Resource, headerNamespace = ''): string {
  checkGroupName(resource.name);
  const full = fullName(resource, headerNamespace, 'ILLEGAL_CONSUMER_GROUP');
  if (full.length > nameLimits.groupLengthMax) {
    throw new MqError(
      'ILLEGAL_CONSUMER_GROUP',
      `the consumer group name has ${full.length} characters with its namespace; at most ${nameLimits.groupLengthMax} are allowed`,
    );
  }
  return full;
}

function fullName(resource: Resource, headerNamespace: string, code: ErrorCode): string {
  const namespace = resource.namespace === '' ? headerNamespace : resource.namespace;
  if (namespace === '') return resource.name;
  if (!NAMESPACE.test(namespace)) {
    throw new MqError(
      code,
      `the namespace ${JSON.stringify(namespace)} has a character that is not allowed; use letters, digits, "_" and "-"`,
    );
  }
  const prefix = groupTopicPrefix(resource.name);
  const rest = resource.name.slice(prefix.length);
  // A client that already writes full names means the same topic.
  return rest.startsWith(`${namespace}%`) ? resource.name : `${prefix}${namespace}%${rest}`;
}

/** Splits a full name back: `a%b` is name `b` in namespace `a`, `%DLQ%a%b` is `%DLQ%b` in `a`. */
export function splitFullName(full: string): Resource {
  const prefix = groupTopicPrefix(full);
  const percent = full.indexOf('%', prefix.length);
  if (percent <= prefix.length) return { namespace: '', name: full };
  return { namespace: full.slice(prefix.length, percent), name: prefix + full.slice(percent + 1) };
}

function groupTopicPrefix(name: string): string {
  if (name.startsWith(DLQ_TOPIC_PREFIX)) return DLQ_TOPIC_PREFIX;
  return name.startsWith(RETRY_TOPIC_PREFIX) ? RETRY_TOPIC_PREFIX : '';
}

/**
 * UTF-8 length of a text, or -1 when it has what no field may have: control characters (U+0000 to U+001F, U+007F to
 * U+009F) or half a surrogate pair. One pass, no allocation: it runs over every string of every message.
 */
export function measureText(text: string): number {
  let size = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x7f) {
      if (unit < 0x20) return -1;
    } else if (unit < 0x800) {
      if (unit < 0xa0) return -1;
      size += 1;
    } else if (unit < 0xd800 || unit > 0xdfff) {
      size += 2;
    } else {
      const low = text.charCodeAt(i + 1);
      if (unit > 0xdbff || !(low >= 0xdc00 && low <= 0xdfff)) return -1;
      i++;
      size += 2;
    }
  }
  return size;
}

/** Whether a text is empty or nothing but white space. */
export function isBlank(text: string): boolean {
  const first = text.charCodeAt(0);
  // Most texts start with a visible ASCII character; trim() would make a copy of the others only.
  return !(first > 0x20 && first < 0x7f) && text.trim() === '';
}

/** The error for a topic without a route; official clients look for the beginning of this text. */
export function topicNotFound(topic: string): MqError {
  return new MqError(
    'TOPIC_NOT_FOUND',
    `CODE: 17  DESC: No topic route info in name server for the topic: ${topic}; create it with: raftmq topic create ${topic}`,
  );
}
