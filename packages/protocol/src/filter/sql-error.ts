import { MqError } from '@raftmq/base';

/**
 * What a bad expression is refused with.
 * @param at index of the first character that is wrong, -1 when it is the whole
 */
export function sqlError(what: string, at = -1): MqError {
  const where = at < 0 ? '' : `, at character ${at + 1}`;
  return new MqError('ILLEGAL_FILTER_EXPRESSION', `the SQL filter${where}: ${what}`);
}
