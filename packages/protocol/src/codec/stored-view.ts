import { assert, readInt64 } from '@raftmq/base';
import { PropertyCursor, propertyName, propertyNameHash } from './properties.js';
import { sysFlag } from './stored-message.js';

const NO_BYTES = Buffer.alloc(0);

/** The names that {@link StoredView} looks for; their hashes differ, which a test checks. */
const named = {
  id: namedProperty(propertyName.UNIQ_KEY),
  tag: namedProperty(propertyName.TAGS),
  keys: namedProperty(propertyName.KEYS),
  exactKeys: namedProperty(propertyName.EXACT_KEYS),
  lite: namedProperty(propertyName.LITE_TOPIC),
} as const;

interface NamedProperty {
  readonly name: Buffer;
  readonly hash: number;
}

/**
 * What has to be known of every message that is applied, found in one pass over its record, wherever that lies in a frame.
 * One view is used for message after message: nothing is allocated. It lies in a log entry whose checksum was verified,
 * so structure is asserted, not reported.
 *
 * Texts are given as ranges of `bytes`, `end` exclusive; an empty range is a text that is missing, or empty.
 */
export class StoredView {
  bytes: Buffer = NO_BYTES;
  /** First byte of the record. */
  at = 0;
  sizeBytes = 0;
  queueId = 0;
  topicStart = 0;
  topicEnd = 0;
  /** The client's message id. */
  idStart = 0;
  idEnd = 0;
  tagStart = 0;
  tagEnd = 0;
  /** Keys, joined by spaces, or by U+001F when `keysExact`. */
  keysStart = 0;
  keysEnd = 0;
  keysExact = false;
  /** Name of the lite topic. */
  liteStart = 0;
  liteEnd = 0;
  readonly #properties = new PropertyCursor(NO_BYTES, 0, 0);

  /** Looks at the record in `bytes[at, at + sizeBytes)`. */
  read(bytes: Buffer, at: number, sizeBytes: number): void {
    this.bytes = bytes;
    this.at = at;
    this.sizeBytes = sizeBytes;
    this.queueId = bytes.readInt32BE(at + 12);
    const flags = bytes[at + 39]!;
    let to = at + 84;
    if ((flags & sysFlag.BORN_HOST_IPV6) !== 0) to += 12;
    if ((flags & sysFlag.STORE_HOST_IPV6) !== 0) to += 12;
    to += 4 + bytes.readInt32BE(to);
    const end = at + sizeBytes;
    assert(to < end, 'the body ends inside the record');
    this.topicStart = to + 1;
    to += 1 + bytes[to]!;
    this.topicEnd = to;
    const propertiesEnd = to + 2 + ((bytes[to]! << 8) | bytes[to + 1]!);
    assert(propertiesEnd <= end, 'the properties end inside the record');
    this.#readProperties(to + 2, propertiesEnd);
  }

  get queueOffset(): number {
    return readInt64(this.bytes, this.at + 20);
  }

  /** Whether the message belongs to a topic, whose name is ASCII. */
  isOfTopic(name: string): boolean {
    const { bytes, topicStart } = this;
    const size = name.length;
    if (this.topicEnd - topicStart !== size) return false;
    for (let i = 0; i < size; i++) {
      if (bytes[topicStart + i] !== name.charCodeAt(i)) return false;
    }
    return true;
  }

  topic(): string {
    return this.bytes.toString('latin1', this.topicStart, this.topicEnd);
  }

  /** Name of the lite topic, null without one. */
  liteTopic(): string | null {
    if (this.liteEnd === this.liteStart) return null;
    return this.bytes.toString('utf8', this.liteStart, this.liteEnd);
  }

  /** Java's `String.hashCode` of the tag, 0 without one. */
  tagHash(): number {
    const { bytes, tagStart, tagEnd } = this;
    let hash = 0;
    let all = 0;
    for (let i = tagStart; i < tagEnd; i++) {
      const byte = bytes[i]!;
      all |= byte;
      hash = (Math.imul(hash, 31) + byte) | 0;
    }
    if (all < 0x80) return hash;
    return propertyNameHash(bytes.toString('utf8', tagStart, tagEnd));
  }

  /** As in {@link PropertyCursor}: the last of equal names wins, but not with an empty value. */
  #readProperties(from: number, end: number): void {
    const { bytes } = this;
    this.idStart = this.idEnd = this.tagStart = this.tagEnd = 0;
    this.keysStart = this.keysEnd = this.liteStart = this.liteEnd = 0;
    this.keysExact = false;
    const properties = this.#properties;
    properties.begin(bytes, from, end);
    while (properties.next()) {
      const { valueStart, valueEnd } = properties;
      if (valueStart === valueEnd) continue;
      if (isNamed(properties, named.id)) {
        this.idStart = valueStart;
        this.idEnd = valueEnd;
      } else if (isNamed(properties, named.tag)) {
        this.tagStart = valueStart;
        this.tagEnd = valueEnd;
      } else if (isNamed(properties, named.exactKeys)) {
        this.keysStart = valueStart;
        this.keysEnd = valueEnd;
        this.keysExact = true;
      } else if (!this.keysExact && isNamed(properties, named.keys)) {
        this.keysStart = valueStart;
        this.keysEnd = valueEnd;
      } else if (isNamed(properties, named.lite)) {
        this.liteStart = valueStart;
        this.liteEnd = valueEnd;
      }
    }
  }
}

function isNamed(properties: PropertyCursor, { name, hash }: NamedProperty): boolean {
  return properties.nameIs(name, hash);
}

function namedProperty(name: string): NamedProperty {
  return { name: Buffer.from(name), hash: propertyNameHash(name) };
}
