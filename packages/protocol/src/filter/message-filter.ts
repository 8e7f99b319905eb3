import { MqError } from '@raftmq/base';
import { filterType } from '../codec/receive-request.js';
import { storedTag } from '../codec/stored-fields.js';
import { javaStringHashCode } from '../model/fifo-queue.js';
import { compileSqlFilter, type SqlFilter } from './sql-filter.js';
import { parseTagExpression } from './tags.js';

/** Which messages of a topic a consumer asks for. */
export interface MessageFilter {
  /** Equal for filters that ask for the same; readable: `*`, `TAG a || b`, `SQL a > 5`. */
  readonly key: string;
  /** Null = the tag does not matter. */
  readonly tags: readonly string[] | null;
  /** As the queue index has them: a message with another hash has none of the tags. */
  readonly tagHashes: ReadonlySet<number> | null;
  readonly sql: SqlFilter | null;
}

export const ALL_MESSAGES: MessageFilter = { key: '*', tags: null, tagHashes: null, sql: null };

/** Made once per compiled expression, so that long keys are not built with every call. */
const sqlFilters = new WeakMap<SqlFilter, MessageFilter>();

/**
 * Reads a filter as clients send it.
 * @param type wire number of FilterType; unspecified means TAG
 * @throws MqError ILLEGAL_FILTER_EXPRESSION
 */
export function parseMessageFilter(type: number, expression: string): MessageFilter {
  if (type === filterType.SQL) {
    const sql = compileSqlFilter(expression);
    let filter = sqlFilters.get(sql);
    if (filter === undefined) {
      filter = { key: `SQL ${sql.expression}`, tags: null, tagHashes: null, sql };
      sqlFilters.set(sql, filter);
    }
    return filter;
  }
  if (type !== filterType.TAG && type !== filterType.UNSPECIFIED) {
    throw new MqError(
      'ILLEGAL_FILTER_EXPRESSION',
      `the filter type ${type} is not known; use TAG or SQL`,
    );
  }
  return tagFilter(parseTagExpression(expression));
}

/** The filter that lets these tags through; null = all messages. */
export function tagFilter(tags: readonly string[] | null): MessageFilter {
  if (tags === null) return ALL_MESSAGES;
  return {
    key: `TAG ${[...tags].sort().join(' || ')}`,
    tags,
    tagHashes: new Set(tags.map(javaStringHashCode)),
    sql: null,
  };
}

/** Whether a stored message passes; `record` starts with it. */
export function passesFilter(filter: MessageFilter, record: Buffer): boolean {
  if (filter.sql !== null) return filter.sql.matches(record);
  if (filter.tags === null) return true;
  const tag = storedTag(record);
  return tag !== null && filter.tags.includes(tag);
}
