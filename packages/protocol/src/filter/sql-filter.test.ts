import { describe, expect, test } from '@jest/globals';
import { createPrng, isMqError, type Prng } from '@raftmq/base';
import { prepareStoredMessage, writeStoredMessage } from '../codec/stored-message.js';
import { nameLimits, sqlFilterLimits } from '../limits.js';
import { type PublishMessage } from '../model/message.js';
import { compileSqlFilter } from './sql-filter.js';

function stored(
  properties: Readonly<Record<string, string>>,
  more?: Partial<PublishMessage>,
): Buffer {
  const message: PublishMessage = {
    messageId: 'ID',
    body: Buffer.from('a = 1 in the body means nothing'),
    tag: null,
    keys: [],
    userProperties: Object.entries(properties).flat(),
    messageGroup: null,
    traceContext: null,
    bornTimestampMs: 1,
    bornHost: '127.0.0.1:1',
    gzip: false,
    ...more,
  };
  const prepared = prepareStoredMessage(message, 'T', {});
  const record = Buffer.alloc(prepared.sizeBytes);
  const placement = { queueId: 0, queueOffset: 0, physicalOffset: 0, storeTimestampMs: 1 };
  writeStoredMessage(record, 0, prepared, placement);
  return record;
}

function refusal(expression: string): string {
  try {
    compileSqlFilter(expression);
  } catch (error) {
    if (isMqError(error) && error.code === 'ILLEGAL_FILTER_EXPRESSION') return error.message;
    throw error;
  }
  return 'taken';
}

const order = {
  a: '5',
  price: '19.99',
  region: 'eu-west',
  vip: 'true',
  empty: '',
  name: "O'Neil",
  city: 'Zürich',
  big: '9007199254740993',
  padded: ' 7 ',
};
const message = stored(order, { tag: 'TagA', keys: ['k1', 'k2'] });

describe('a message with properties', () => {
  test.each([
    'a = 5',
    'a=5',
    'a = 5.0',
    'a = 5L',
    "a = '5'",
    '5 = a',
    'a <> 6',
    'a > 4 AND a < 6',
    'a >= 5 and a <= 5',
    'a > -1',
    'a > +4.9',
    'price > 19.9',
    'price < 2E1',
    'padded = 7',
    'a BETWEEN 5 AND 5',
    'a BETWEEN 0 AND 10 AND vip = TRUE',
    'a NOT BETWEEN 6 AND 10',
    "region IN ('us-east', 'eu-west')",
    "region NOT IN ('us-east')",
    'a IN (1, 5)',
    "a IN ('x', 5)",
    'region IS NOT NULL',
    'absent IS NULL',
    'empty IS NOT NULL',
    "empty = ''",
    "region = 'eu-west'",
    "region <> 'us'",
    "region CONTAINS 'u-w'",
    "region STARTSWITH 'eu'",
    "region endswith 'west'",
    "region NOT CONTAINS 'x'",
    "region NOT STARTSWITH 'west'",
    "region NOT ENDSWITH 'eu'",
    "city CONTAINS 'ü'",
    "city = 'Zürich'",
    "name = 'O''Neil'",
    'vip',
    'vip = TRUE',
    'NOT vip = FALSE',
    '(a > 4) = TRUE',
    '(absent > 4) IS NULL',
    "TAGS = 'TagA'",
    "TAGS IN ('TagA', 'TagB') AND KEYS CONTAINS 'k2'",
    'a = 6 OR a = 5',
    'a = 6 OR a = 7 OR NOT (a = 8)',
    'a = 5 OR b = 1 AND b = 2',
    'NOT NOT a = 5',
    'NOT a = 6',
    'TRUE',
    'FALSE OR ((((a = 5))))',
    'a = a',
    "'x' = 'x'",
    "5 = '5'",
    'big = 9007199254740993',
    'big > 9007199254740992',
    'a /* five */ = -- is\n 5 -- end',
    'absent > 3 OR a = 5',
    'region > 3 OR a = 5',
  ])('passes %s', (expression) => {
    expect(compileSqlFilter(expression).matches(message)).toBe(true);
  });

  test.each([
    'a = 6',
    'A = 5',
    "a = '5.0'",
    'a <> 5',
    'NOT a = 5',
    'a > 5',
    'absent = 1',
    'absent <> 1',
    'NOT (absent = 1)',
    "absent NOT IN ('x')",
    "absent NOT CONTAINS 'x'",
    "NOT (absent CONTAINS 'x')",
    'absent = absent',
    'region > 3',
    'NOT region > 3',
    'region BETWEEN 1 AND 3',
    'region = 5',
    'region <> 5',
    'region NOT IN (5)',
    'region',
    'NOT region',
    'FALSE',
    'absent',
    'a = 5 AND absent = 1',
    "region CONTAINS ''",
    "region NOT CONTAINS ''",
    "region STARTSWITH 'eu-west-1'",
    "region ENDSWITH 'in eu-west'",
    'big = 9007199254740992',
    'big <= 9007199254740992',
    "body = '1'",
    "TAGS = 'tagA'",
    'a = b',
    'a > vip',
  ])('does not pass %s', (expression) => {
    expect(compileSqlFilter(expression).matches(message)).toBe(false);
  });

  test('a filter keeps nothing of the message before', () => {
    const filter = compileSqlFilter('a = 5 AND price > 1');
    expect(filter.matches(message)).toBe(true);
    expect(filter.matches(stored({ a: '5' }))).toBe(false);
    expect(filter.matches(stored({ price: '2', a: '6' }))).toBe(false);
    expect(filter.matches(message)).toBe(true);
  });
});

describe('an expression that is refused', () => {
  test.each([
    ['', 'it is empty'],
    ['   ', 'it is empty'],
    [
      'a >',
      'at character 4: expected a name, a number, a text in single quotes or "(", but the expression ends',
    ],
    ['a > > 5', 'there is ">"'],
    ['a ! 5', 'unequal is written <>'],
    ['a = "x"', 'write texts in single quotes'],
    ["a = 'x", 'a text is not closed'],
    ['a = 5 /* x', 'a comment is not closed'],
    ['a || b', 'join conditions with OR'],
    ['a.b = 5', 'names have letters, digits'],
    ['a = NULL', 'write IS NULL'],
    ['a IS 5', 'expected NULL'],
    ["a > 'x'", 'the text "x" has no order'],
    ['a > TRUE', 'a condition has no order'],
    ["a BETWEEN 'a' AND 'b'", 'has no order'],
    ['a BETWEEN 5 AND 3', 'the lower bound comes first'],
    ['a BETWEEN 5', 'expected AND between'],
    ['5 = TRUE', 'a number cannot be compared with TRUE'],
    ['5', 'a number alone is no condition'],
    ["a = 5 AND 'x'", 'a text alone is no condition'],
    ['a NOT 5', 'expected BETWEEN, IN'],
    ['a IN ()', 'expected a text or a number'],
    ["a IN ('x'", 'expected ")"'],
    ["5 IN ('x')", 'IN looks at a property'],
    ['a CONTAINS b', 'a text in single quotes after CONTAINS'],
    ['a = 5 b = 6', 'expected AND, OR or the end'],
    ['a = 5)', 'expected AND, OR or the end'],
    ['(a = 5', 'expected ")"'],
    ['a > 5 > 4', 'expected AND, OR or the end'],
    ['a = 5x', 'a number runs into a word'],
    ['a = 5E', 'ends after its "E"'],
    ['a = 1E999', 'is too large'],
    ['a = -b', 'expected a number after "-"'],
    ['*', '"*" means nothing here'],
    ['a IS NULL IS NULL', 'expected AND, OR or the end'],
    ['IN = 5', 'there is "IN"'],
  ])('%j: %s', (expression, reason) => {
    expect(refusal(expression)).toContain(reason);
  });

  test('is bounded in length, depth, parts, lists and names', () => {
    const { depthMax, nodesMax, listLengthMax, propertiesMax } = sqlFilterLimits;
    const long = (count: number): string => `a IN (${new Array(count).fill(1).join(',')})`;
    const names = (count: number): string =>
      Array.from({ length: count }, (_, i) => `p${i} = 1`).join(' OR ');
    const deep = (depth: number): string => '('.repeat(depth) + 'a = 1' + ')'.repeat(depth);
    expect(refusal('a'.repeat(nameLimits.filterLengthMax + 1))).toContain('characters');
    expect(refusal(`${' '.repeat(1 << 20)}a = 1`)).toContain('characters');
    expect(refusal(deep(depthMax))).toBe('taken');
    expect(refusal(deep(depthMax + 1))).toContain('nested');
    expect(refusal('('.repeat(nameLimits.filterLengthMax))).toContain('nested');
    expect(refusal(long(listLengthMax))).toBe('taken');
    expect(refusal(long(listLengthMax + 1))).toContain('list');
    expect(refusal(names(propertiesMax))).toBe('taken');
    expect(refusal(names(propertiesMax + 1))).toContain('different properties');
    expect(refusal('NOT '.repeat(nodesMax + 1) + 'a')).toContain('parts');
    expect(refusal(new Array(nodesMax).fill('a').join('\nOR '))).toBe('taken');
    expect(refusal(new Array(nodesMax + 1).fill('a').join('\nOR '))).toContain('parts');
  });
});

test('an expression is compiled once while it is used, and a bounded number is kept', () => {
  const first = compileSqlFilter('kept = 1');
  expect(compileSqlFilter(' kept = 1 ')).toBe(first);
  for (let i = 0; i < sqlFilterLimits.compiledMax; i++) {
    compileSqlFilter(`other = ${i}`);
    if (i % 100 === 0) expect(compileSqlFilter('kept = 1')).toBe(first);
  }
  for (let i = 0; i < sqlFilterLimits.compiledMax; i++) compileSqlFilter(`more = ${i}`);
  expect(compileSqlFilter('kept = 1')).not.toBe(first);
});

/** An expression, and what it means, worked out the slow and obvious way. */
interface Sample {
  readonly sql: string;
  readonly meaning: (properties: ReadonlyMap<string, string>) => boolean | null;
}

const names = ['a', 'b', 'c', '_x$1'];
const values = [
  '',
  '0',
  '1',
  '2',
  '-3',
  '2.5',
  '1e1',
  'x',
  'xy',
  'yx',
  'true',
  'FALSE',
  "it's",
  'é',
];
const numbers = ['0', '1', '2', '-3', '2.5', '+10', '1E1', '.5'];

function asNumber(text: string | undefined): number | null {
  if (text === undefined || text.trim() === '') return null;
  const value = Number(text);
  return Number.isFinite(value) ? value : null;
}

function negate(value: boolean | null): boolean | null {
  return value === null ? null : !value;
}

function either(parts: readonly (boolean | null)[]): boolean | null {
  return parts.includes(true) ? true : parts.includes(null) ? null : false;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

const compare: Record<string, (a: number, b: number) => boolean> = {
  '=': (a, b) => a === b,
  '<>': (a, b) => a !== b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
};

const leaves: ((prng: Prng) => Sample)[] = [
  (prng) => {
    const name = prng.pick(names);
    const number = prng.pick(numbers);
    const operator = prng.pick(Object.keys(compare));
    return {
      sql: `${name} ${operator} ${number}`,
      meaning: (p) => {
        const value = asNumber(p.get(name));
        return value === null ? null : compare[operator]!(value, Number(number));
      },
    };
  },
  (prng) => {
    const [a, b] = [prng.pick(names), prng.pick(names)];
    const operator = prng.pick(Object.keys(compare));
    const texts = operator === '=' || operator === '<>';
    return {
      sql: `${a}${operator}${b}`,
      meaning: (p) => {
        const [left, right] = [p.get(a), p.get(b)];
        if (left === undefined || right === undefined) return null;
        if (texts) return (left === right) === (operator === '=');
        const [x, y] = [asNumber(left), asNumber(right)];
        return x === null || y === null ? null : compare[operator]!(x, y);
      },
    };
  },
  (prng) => {
    const [name, text, equal] = [prng.pick(names), prng.pick(values), prng.chance(0.5)];
    return {
      sql: `${name} ${equal ? '=' : '<>'} ${quoted(text)}`,
      meaning: (p) => (p.has(name) ? (p.get(name) === text) === equal : null),
    };
  },
  (prng) => {
    const name = prng.pick(names);
    const not = prng.chance(0.5);
    return {
      sql: `${name} Is ${not ? 'nOT ' : ''}Null`,
      meaning: (p) => p.has(name) === not,
    };
  },
  (prng) => {
    const name = prng.pick(names);
    const not = prng.chance(0.5);
    const [low, high] = [prng.pick(['0', '-3', '1']), prng.pick(['1', '2.5', '10'])];
    return {
      sql: `${name} ${not ? 'NOT ' : ''}BETWEEN ${low} AND ${high}`,
      meaning: (p) => {
        const value = asNumber(p.get(name));
        return value === null ? null : (value >= Number(low) && value <= Number(high)) !== not;
      },
    };
  },
  (prng) => {
    const name = prng.pick(names);
    const not = prng.chance(0.5);
    const list = Array.from({ length: 1 + prng.integer(0, 3) }, () =>
      prng.chance(0.5) ? prng.pick(numbers) : quoted(prng.pick(values)),
    );
    return {
      sql: `${name} ${not ? 'NOT ' : ''}IN (${list.join(' ,')})`,
      meaning: (p) => {
        const value = p.get(name);
        if (value === undefined) return null;
        const found = either(
          list.map((item) => {
            if (item.startsWith("'")) return value === item.slice(1, -1).replaceAll("''", "'");
            return asNumber(value) === null ? null : asNumber(value) === Number(item);
          }),
        );
        return not ? negate(found) : found;
      },
    };
  },
  (prng) => {
    const name = prng.pick(names);
    const not = prng.chance(0.5);
    const place = prng.pick(['CONTAINS', 'STARTSWITH', 'ENDSWITH']);
    const text = prng.pick(['x', 'y', 'xy', 'é', "'", '1']);
    return {
      sql: `${name} ${not ? 'NOT ' : ''}${place} ${quoted(text)}`,
      meaning: (p) => {
        const value = p.get(name);
        if (value === undefined) return null;
        const found =
          place === 'CONTAINS'
            ? value.includes(text)
            : place === 'STARTSWITH'
              ? value.startsWith(text)
              : value.endsWith(text);
        return found !== not;
      },
    };
  },
  (prng) => {
    const name = prng.pick(names);
    return {
      sql: name,
      meaning: (p) => {
        const lower = p.get(name)?.toLowerCase();
        return lower === 'true' ? true : lower === 'false' ? false : null;
      },
    };
  },
];

function sample(prng: Prng, depth: number): Sample {
  const kind = depth === 0 ? 3 : prng.integer(0, 4);
  if (kind === 0) {
    const { sql, meaning } = sample(prng, depth - 1);
    return { sql: `NOT (${sql})`, meaning: (p) => negate(meaning(p)) };
  }
  if (kind === 1 || kind === 2) {
    const or = kind === 1;
    const parts = Array.from({ length: 2 + prng.integer(0, 1) }, () => sample(prng, depth - 1));
    return {
      sql: parts.map(({ sql }) => `(${sql})`).join(or ? ' OR ' : ' and '),
      meaning: (p) => {
        const results = parts.map((part) => part.meaning(p));
        return or ? either(results) : negate(either(results.map(negate)));
      },
    };
  }
  return prng.pick(leaves)(prng);
}

test('agrees with a naive interpreter on random expressions and messages', () => {
  for (let seed = 1; seed <= 400; seed++) {
    const prng = createPrng(seed);
    const { sql, meaning } = sample(prng, 3);
    const filter = compileSqlFilter(sql);
    for (let i = 0; i < 25; i++) {
      const properties = new Map<string, string>();
      for (const name of names) if (prng.chance(0.75)) properties.set(name, prng.pick(values));
      const passes = filter.matches(stored(Object.fromEntries(properties)));
      const found = `seed ${seed}: ${sql} with ${JSON.stringify([...properties])}: ${passes}`;
      expect(found).toBe(
        `seed ${seed}: ${sql} with ${JSON.stringify([...properties])}: ${meaning(properties) === true}`,
      );
    }
  }
});

test('random text is taken or refused as a filter expression, never anything else', () => {
  const pieces = [
    ...["'", "''", '(', ')', ',', '=', '<>', '<', '>=', '-', '--', '/*', '*/', '+', ' ', '\n', '.'],
    ...[
      'a',
      'b',
      '5',
      '5.5',
      '1E',
      "'x'",
      'é',
      '\u0000',
      '\ud800',
      '||',
      '"',
      '5L',
      '9'.repeat(70),
    ],
    ...'NOT AND OR BETWEEN IN TRUE FALSE NULL IS CONTAINS STARTSWITH ENDSWITH'.split(' '),
  ];
  const prng = createPrng(7);
  let taken = 0;
  for (let round = 0; round < 20_000; round++) {
    let text = '';
    for (let length = 1 + prng.integer(0, 8); length > 0; length--) text += `${prng.pick(pieces)} `;
    if (refusal(text) !== 'taken') continue;
    taken++;
    compileSqlFilter(text).matches(message);
  }
  expect(taken).toBeGreaterThan(100);
});
