import { MqError } from '@raftmq/base';
import { nameLimits } from '../limits.js';
import { measureText } from '../names.js';

/**
 * Reads a tag expression: `*` or nothing for all, else tags joined with `||`.
 *
 * @returns the tags without repeats, or null for all
 * @throws MqError ILLEGAL_FILTER_EXPRESSION when it is longer than 16 KiB, has control characters, or names no tag
 */
export function parseTagExpression(expression: string): readonly string[] | null {
  const trimmed = expression.trim();
  if (trimmed === '' || trimmed === '*') return null;
  if (expression.length > nameLimits.filterLengthMax) {
    throw illegal(
      `has ${expression.length} characters; at most ${nameLimits.filterLengthMax} are allowed`,
    );
  }
  if (measureText(expression) < 0) throw illegal('has control characters');
  const tags = new Set<string>();
  for (const part of trimmed.split('||')) {
    const tag = part.trim();
    if (tag.includes('|')) throw illegal('has a single "|"; join tags with "||"');
    if (tag !== '') tags.add(tag);
  }
  if (tags.size === 0) throw illegal('names no tag; write "*" for all messages');
  return [...tags];
}

function illegal(what: string): MqError {
  return new MqError('ILLEGAL_FILTER_EXPRESSION', `the tag expression ${what}`);
}
