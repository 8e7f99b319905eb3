import { parseArgs } from 'node:util';
import { nearest } from '@raftmq/base';
import { type Output } from './output.js';

/** The command line is wrong: printed with a hint at `--help`, exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** One long flag. The table of them is the command's only source of names, defaults and help. */
export interface OptionSpec {
  /** Placeholder of the value in the help, `SECONDS`; a flag without value leaves it out. */
  readonly value?: string;
  /** What it means, one line. */
  readonly doc: string;
  /** Taken when neither flag nor environment says otherwise. */
  readonly default?: string;
  /** Environment variables that set it, first one wins; the flag wins over all. */
  readonly env?: readonly string[];
  /** May be given several times. */
  readonly multiple?: boolean;
}

export type OptionTable = Readonly<Record<string, OptionSpec>>;

/** What a command gets to work with. */
export interface CommandContext {
  readonly positionals: readonly string[];
  readonly options: ParsedOptions;
  readonly output: Output;
  /** Environment variables, for child processes. */
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** Aborted on SIGINT and SIGTERM: finish soon, and cleanly. */
  readonly signal: AbortSignal;
}

export interface Command {
  /** Words behind `raftmq`, `topic create`. */
  readonly name: string;
  readonly summary: string;
  /** Names of the positional arguments, `NAME` required, `[NAME]` optional. */
  readonly positionals: readonly string[];
  readonly options: OptionTable;
  /** Further lines of the help: behaviour and examples. */
  readonly notes?: readonly string[];
  /** @returns the exit code */
  readonly run: (context: CommandContext) => Promise<number>;
}

/** Values of the flags of one call, checked on reading. */
export class ParsedOptions {
  readonly #table: OptionTable;
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(table: OptionTable, values: ReadonlyMap<string, readonly string[]>) {
    this.#table = table;
    this.#values = values;
  }

  /** Whether the flag, its environment variable or its default gives a value. */
  has(name: string): boolean {
    return this.text(name) !== '';
  }

  /** The last value given, or the default, or ''. */
  text(name: string): string {
    return this.#values.get(name)?.at(-1) ?? this.#table[name]?.default ?? '';
  }

  /** All values of a flag that may be repeated. */
  list(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  flag(name: string): boolean {
    const value = this.text(name);
    if (value === '' || value === 'false') return false;
    if (value === 'true') return true;
    throw new UsageError(`--${name} is "${value}"; it must be true or false`);
  }

  /** @throws UsageError when it is no integer within the bounds */
  integer(name: string, min: number, max: number): number {
    const value = this.text(name);
    const number = Number(value);
    if (!/^-?\d+$/.test(value) || number < min || number > max) {
      throw new UsageError(`--${name} is "${value}"; it must be an integer, ${min} .. ${max}`);
    }
    return number;
  }

  /** A duration such as `500ms`, `30s`, `5m` or `1h`; a bare number counts seconds. */
  durationMs(name: string, minMs: number, maxMs: number): number {
    const value = this.text(name);
    const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(value);
    const ms = match === null ? NaN : Number(match[1]) * DURATION_UNITS_MS[match[2] ?? 's']!;
    if (!(ms >= minMs && ms <= maxMs)) {
      throw new UsageError(
        `--${name} is "${value}"; it must be a duration such as 30s, from ${minMs} ms to ${maxMs} ms`,
      );
    }
    return ms;
  }

  /** One of a closed list of words, any case. */
  choice<const T extends string>(name: string, words: readonly T[]): T {
    const value = this.text(name);
    const found = words.find((word) => word.toLowerCase() === value.toLowerCase());
    if (found !== undefined) return found;
    const near = nearest(value, words);
    throw new UsageError(
      `--${name} is "${value}"; it must be one of ${words.join(', ')}; did you mean "${near}"?`,
    );
  }
}

const DURATION_UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Flags that every command takes. */
export const HELP_OPTION: OptionTable = { help: { doc: 'print this help' } };
/** For commands that print data. */
export const JSON_OPTION: OptionTable = { json: { doc: 'print JSON instead of text' } };

/** What {@link parseCommandLine} found. */
export interface ParsedCommandLine {
  readonly help: boolean;
  readonly positionals: readonly string[];
  readonly options: ParsedOptions;
}

/**
 * Reads the words behind a command.
 * @param environment variables that may stand in for flags
 * @throws UsageError for an unknown flag (naming the nearest), a missing value, or too few or too many positionals
 */
export function parseCommandLine(
  command: Command,
  words: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): ParsedCommandLine {
  const table: OptionTable = { ...command.options, ...HELP_OPTION };
  const parsed = parseTokens(table, words);
  if (parsed.values.has('help')) {
    return { help: true, positionals: [], options: new ParsedOptions(table, parsed.values) };
  }
  for (const [name, spec] of Object.entries(table)) {
    const variable = spec.env?.find((candidate) => (environment[candidate] ?? '') !== '');
    if (variable !== undefined && !parsed.values.has(name)) {
      parsed.values.set(name, [environment[variable]!]);
    }
  }
  checkPositionals(command, parsed.positionals);
  return {
    help: false,
    positionals: parsed.positionals,
    options: new ParsedOptions(table, parsed.values),
  };
}

function parseTokens(
  table: OptionTable,
  words: readonly string[],
): { values: Map<string, readonly string[]>; positionals: string[] } {
  const { tokens } = parseArgs({
    args: [...words],
    options: Object.fromEntries(
      Object.entries(table).map(([name, spec]) => [
        name,
        { type: spec.value === undefined ? ('boolean' as const) : ('string' as const) },
      ]),
    ),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const values = new Map<string, readonly string[]>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    const spec = Object.hasOwn(table, token.name) ? table[token.name] : undefined;
    if (spec === undefined || !token.rawName.startsWith('--')) {
      const near = nearest(token.name, Object.keys(table));
      throw new UsageError(`unknown flag ${token.rawName}; did you mean --${near}?`);
    }
    if (spec.value !== undefined && token.value === undefined) {
      throw new UsageError(`--${token.name} needs a value: --${token.name} ${spec.value}`);
    }
    const value = token.value ?? 'true';
    values.set(token.name, spec.multiple ? [...(values.get(token.name) ?? []), value] : [value]);
  }
  return { values, positionals };
}

function checkPositionals(command: Command, given: readonly string[]): void {
  const required = command.positionals.filter((name) => !name.startsWith('['));
  if (given.length < required.length) {
    throw new UsageError(`raftmq ${command.name} needs ${required[given.length]}`);
  }
  if (given.length > command.positionals.length) {
    throw new UsageError(
      `raftmq ${command.name} does not take "${given[command.positionals.length]}"`,
    );
  }
}

/** The text of `raftmq COMMAND --help`. */
export function commandHelp(command: Command): string {
  const rows = Object.entries({ ...command.options, ...HELP_OPTION }).map(([name, spec]) => {
    const left = `--${name}${spec.value === undefined ? '' : ` ${spec.value}`}`;
    const remarks = [
      ...(spec.default === undefined ? [] : [`default ${spec.default}`]),
      ...(spec.multiple ? ['may be repeated'] : []),
      ...(spec.env === undefined ? [] : [`environment ${spec.env.join(', ')}`]),
    ];
    return [left, spec.doc + (remarks.length === 0 ? '' : ` (${remarks.join('; ')})`)] as const;
  });
  const width = Math.max(...rows.map(([left]) => left.length));
  const usage = ['raftmq', command.name, ...command.positionals, '[flags]'].join(' ');
  return [
    `${usage}`,
    '',
    `  ${command.summary}`,
    '',
    'Flags:',
    ...rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`),
    ...(command.notes === undefined ? [] : ['', ...command.notes]),
    '',
  ].join('\n');
}
