import { describe, expect, test } from '@jest/globals';
import { type Command, commandHelp, parseCommandLine } from './command.js';

const command: Command = {
  name: 'thing do',
  summary: 'Does the thing.',
  positionals: ['NAME', '[OTHER]'],
  options: {
    count: { value: 'N', doc: 'how often', default: '3', env: ['RAFTMQ_COUNT', 'COUNT'] },
    time: { value: 'TIME', doc: 'how long', default: '30s' },
    set: { value: 'A=B', doc: 'settings', multiple: true },
    kind: { value: 'KIND', doc: 'a kind', default: 'NORMAL' },
    loud: { doc: 'make noise' },
  },
  notes: ['Example: raftmq thing do x'],
  run: () => Promise.resolve(0),
};

const parse = (words: string[], environment: Record<string, string> = {}) =>
  parseCommandLine(command, words, environment);

describe('parseCommandLine', () => {
  test('flag wins over environment, environment over default', () => {
    expect(parse(['x']).options.integer('count', 0, 9)).toBe(3);
    expect(parse(['x'], { COUNT: '5' }).options.integer('count', 0, 9)).toBe(5);
    expect(parse(['x'], { COUNT: '5', RAFTMQ_COUNT: '6' }).options.integer('count', 0, 9)).toBe(6);
    expect(parse(['x', '--count', '7'], { COUNT: '5' }).options.integer('count', 0, 9)).toBe(7);
    expect(parse(['x', '--count=8'], {}).options.integer('count', 0, 9)).toBe(8);
  });

  test('flags may be repeated where that makes sense', () => {
    expect(parse(['x', '--set', 'a=1', '--set', 'b=-2']).options.list('set')).toEqual([
      'a=1',
      'b=-2',
    ]);
    expect(parse(['x', '--count', '1', '--count', '2']).options.text('count')).toBe('2');
  });

  test('a flag without value is true', () => {
    expect(parse(['x', '--loud']).options.flag('loud')).toBe(true);
    expect(parse(['x']).options.flag('loud')).toBe(false);
    expect(parse(['--loud', 'x']).positionals).toEqual(['x']);
  });

  test.each([
    [['x', '--cuont', '1'], 'unknown flag --cuont; did you mean --count?'],
    [['x', '-c'], 'unknown flag -c'],
    [['x', '--count'], '--count needs a value: --count N'],
    [['x', '--__proto__', '1'], 'unknown flag --__proto__'],
    [[], 'raftmq thing do needs NAME'],
    [['a', 'b', 'c'], 'does not take "c"'],
  ])('%j is wrong usage', (words, text) => {
    expect(() => parse(words)).toThrow(text);
  });

  test('--help wins over everything that is missing', () => {
    expect(parse(['--help']).help).toBe(true);
    expect(parse(['a', 'b', 'c', '--help']).help).toBe(true);
  });
});

describe('ParsedOptions', () => {
  test.each([
    ['30s', 30_000],
    ['500ms', 500],
    ['1.5m', 90_000],
    ['1h', 3_600_000],
    ['7', 7_000],
  ])('%s is a duration', (text, ms) => {
    expect(parse(['x', '--time', text]).options.durationMs('time', 1, 1e9)).toBe(ms);
  });

  test('values out of range are refused with the range', () => {
    const { options } = parse(['x', '--count', '10', '--time', '1d', '--kind', 'FIVO']);
    expect(() => options.integer('count', 0, 9)).toThrow(
      '--count is "10"; it must be an integer, 0 .. 9',
    );
    expect(() => options.durationMs('time', 1, 1e9)).toThrow('--time is "1d"');
    expect(() => options.choice('kind', ['NORMAL', 'FIFO'])).toThrow('did you mean "FIFO"?');
    expect(parse(['x', '--kind', 'fifo']).options.choice('kind', ['NORMAL', 'FIFO'])).toBe('FIFO');
    expect(() => parse(['x', '--count', '1e1']).options.integer('count', 0, 99)).toThrow('1e1');
  });
});

test('the help names everything', () => {
  expect(commandHelp(command)).toBe(`raftmq thing do NAME [OTHER] [flags]

  Does the thing.

Flags:
  --count N    how often (default 3; environment RAFTMQ_COUNT, COUNT)
  --time TIME  how long (default 30s)
  --set A=B    settings (may be repeated)
  --kind KIND  a kind (default NORMAL)
  --loud       make noise
  --help       print this help

Example: raftmq thing do x
`);
});
