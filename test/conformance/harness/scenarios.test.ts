import { describe, expect, test } from '@jest/globals';
import { type Facts } from './judge.js';
import { scenarios } from './scenarios.js';

/* Facts of good runs have no complaints; each lie is found. */

const again = ['left', 'extended', 'shortened'].map((kind) => ({
  kind,
  afterMs: { left: 10_000, extended: 14_000, shortened: 2_000 }[kind],
  attempt: 2,
}));

const good: Readonly<Record<string, Facts>> = {
  normal: {
    count: 2,
    sent: 2,
    resent: 0,
    storedTwice: 0,
    simple: 2,
    simpleTwice: 0,
    push: 2,
    pushTwice: 0,
  },
  fifo: {
    groups: 2,
    count: 3,
    failsOnce: 1,
    poison: '0/2',
    seen: [
      [0, 1, 1, 2, 2, 2],
      [0, 1, 1, 2],
    ],
    dead: ['0/2'],
    resent: 0,
  },
  delay: { count: 2, resent: 0, received: 2, twice: 0, early: 0, lateMsMax: 5 },
  recall: { count: 3, recalled: [1], received: [2, 0], garbage: 'refused', delivered: 'refused' },
  transaction: { count: 4, tooEarly: 0, received: [2, 0] },
  orphan: { count: 4, halves: 4, received: [0, 2], asked: [2, 2, 3, 2] },
  simple: { perKind: 1, again, left: [], stale: 'INVALID_RECEIPT_HANDLE' },
  push: {
    maxAttempts: 3,
    never: [[1]],
    once: [[1, 2]],
    always: [[1, 2, 3]],
    expectedDead: [7],
    dead: [7],
  },
  tags: { expected: { all: [1, 2] }, got: { all: [2, 1] } },
  sql: { expected: { a: [1] }, got: { a: [1] }, retried: 1, groups: 1, refused: 'refused' },
  topics: { expected: 3, simple: 3, push: 3, strays: [] },
  namespaces: {
    count: 1,
    namespaces: ['first', 'second'],
    facts: {
      first: { simple: ['first/0'], push: ['first/0'] },
      second: { simple: ['second/0'], push: ['second/0'] },
    },
  },
  refusals: {
    answers: {
      'empty body': 'MESSAGE_BODY_EMPTY',
      'body too large': 'larger than 4194304 bytes',
      'unknown topic': '40402',
      'wrong message type': '40001',
    },
    sent: 2,
    received: 2,
  },
};

const lies: readonly (readonly [string, Facts])[] = [
  ['normal', { storedTwice: 1 }],
  ['normal', { simple: 1 }],
  ['normal', { push: 1 }],
  ['normal', { simpleTwice: 1 }],
  ['normal', { wrong: ['body of 1'] }],
  ['fifo', { seen: [[0, 2, 2, 2, 1, 1], good['fifo']!['seen']] }],
  [
    'fifo',
    {
      seen: [
        [0, 1, 1, 2, 2, 2],
        [0, 1, 1],
      ],
    },
  ],
  ['fifo', { dead: [] }],
  ['delay', { early: 1 }],
  ['delay', { received: 1 }],
  ['delay', { twice: 1 }],
  ['recall', { received: [0, 1, 2] }],
  ['recall', { delivered: 'accepted' }],
  ['transaction', { tooEarly: 1 }],
  ['transaction', { received: [0, 1, 2] }],
  ['transaction', { received: [0, 2, 2] }],
  ['orphan', { received: [0, 2, 2] }],
  ['orphan', { asked: [2, 2, 2, 1] }],
  ['simple', { again: [{ kind: 'extended', afterMs: 10_000, attempt: 2 }, ...again.slice(0, 1)] }],
  ['simple', { left: ['acked'] }],
  ['simple', { stale: 'accepted' }],
  ['simple', { kinds: [] }],
  ['simple', { kinds: ['left'] }],
  ['topics', { push: 2 }],
  ['refusals', { answers: { 'empty body': '41302' } }],
  ['refusals', { answers: { ...good['refusals']!['answers']!, 'delay too long': 'accepted' } }],
  ['refusals', { answers: { ...good['refusals']!['answers']!, 'empty body': 'panic' } }],
  ['refusals', { received: 1 }],
  ['refusals', { sent: 1, received: 1 }],
  ['push', { always: [[1, 2, 3, 4]] }],
  ['push', { dead: [] }],
  ['push', { dead: [7, 7] }],
  ['push', { never: [[]] }],
  ['tags', { got: { all: [1, 2, 3] } }],
  ['sql', { retried: 0 }],
  ['sql', { refused: 'accepted' }],
  ['topics', { strays: [{ topic: 'a', body: 'b/0' }] }],
  [
    'namespaces',
    {
      facts: {
        first: { simple: ['first/0', 'second/0'], push: ['first/0'] },
        second: { simple: ['second/0'], push: ['second/0'] },
      },
    },
  ],
];

const judge = (id: string, facts: Facts, killed: boolean): readonly string[] =>
  scenarios.find((scenario) => scenario.id === id)!.judge(facts, { killed });

describe('an SDK that cannot do all', () => {
  test('has a program for the part that it can do', () => {
    const part = { kinds: ['left'], again: again.slice(0, 1) };
    expect(judge('simple', { ...good['simple'], ...part }, false)).toEqual([]);
    expect(judge('topics', { expected: 3, simple: 3, strays: [] }, false)).toEqual([]);
  });
});

describe.each([false, true])('with the leader killed: %s', (killed) => {
  test.each(scenarios.map(({ id }) => id))('%s: good facts', (id) => {
    expect(judge(id, good[id]!, killed)).toEqual([]);
  });

  test.each(lies)('%s: %j is found', (id, lie) => {
    expect(judge(id, { ...good[id], ...lie }, killed)).not.toEqual([]);
  });
});
