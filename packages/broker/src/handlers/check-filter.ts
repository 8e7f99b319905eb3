import { MqError } from '@raftmq/base';
import { filterType, parseTagExpression } from '@raftmq/protocol';

/**
 * The tags that a filter lets through.
 * @param type wire number of FilterType; unspecified means TAG
 * @returns null = everything
 * @throws MqError ILLEGAL_FILTER_EXPRESSION, also for kinds of filters that are not offered
 */
export function checkFilter(type: number, expression: string): readonly string[] | null {
  if (type === filterType.SQL) {
    throw new MqError(
      'ILLEGAL_FILTER_EXPRESSION',
      'SQL filters are not offered by this version; use a TAG filter, as "a || b"',
    );
  }
  if (type !== filterType.TAG && type !== filterType.UNSPECIFIED) {
    throw new MqError('ILLEGAL_FILTER_EXPRESSION', `the filter type ${type} is not known; use TAG`);
  }
  return parseTagExpression(expression);
}
