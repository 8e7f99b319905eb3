import { expect, test } from '@jest/globals';
import { parseTagExpression } from './tags.js';

test.each([
  ['*', null],
  ['', null],
  ['  * ', null],
  ['a', ['a']],
  ['a||b', ['a', 'b']],
  [' a || b ||a|| ', ['a', 'b']],
  ['a || *', ['a', '*']],
])('%j', (expression, tags) => expect(parseTagExpression(expression)).toEqual(tags));

test.each(['||', ' || || ', 'a|b', 'a ||| b', 'a\n', '\0', 'x'.repeat(16_385)])(
  '%j is refused',
  (expression) => {
    expect(() => parseTagExpression(expression)).toThrow(
      expect.objectContaining({ code: 'ILLEGAL_FILTER_EXPRESSION' }),
    );
  },
);
