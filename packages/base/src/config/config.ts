import { readFileSync } from 'node:fs';
import { MqError } from '../errors.js';

/** How a setting is written, checked and documented. Built by the functions below, one per kind. */
export interface Setting<T> {
  readonly kind: string;
  readonly default: T;
  /** What it means and what a bad value does. */
  readonly doc: string;
  /** `cluster`: equal on all nodes; `process`: this node's own. */
  readonly scope: 'cluster' | 'process';
  /** A further environment variable that sets it, beside `RAFTMQ_<NAME>`. */
  readonly env?: string;
  /** Bounds or choices, for people. */
  readonly range: string;
  /** @throws Error with the reason when `text` is not a value of this kind */
  readonly parse: (text: string) => T;
}

export type SettingsTable = Readonly<Record<string, Setting<unknown>>>;
export type SettingsOf<T extends SettingsTable> = {
  readonly [K in keyof T]: T[K] extends Setting<infer V> ? V : never;
};

/** The default of every setting: for tests, and for parts used by themselves. */
export function defaultsOf<T extends SettingsTable>(table: T): SettingsOf<T> {
  const defaults: Record<string, unknown> = {};
  for (const [name, { default: value }] of Object.entries(table)) defaults[name] = value;
  return defaults as SettingsOf<T>;
}

interface Common {
  readonly doc: string;
  readonly scope?: 'cluster' | 'process';
  readonly env?: string;
}

function setting<T>(
  kind: string,
  range: string,
  options: Common & { readonly default: T },
  parse: (text: string) => T,
): Setting<T> {
  return {
    kind,
    range,
    default: options.default,
    doc: options.doc,
    scope: options.scope ?? 'process',
    parse,
    ...(options.env === undefined ? {} : { env: options.env }),
  };
}

/** Free text. */
export function text(
  options: Common & { readonly default: string; readonly pattern?: RegExp },
): Setting<string> {
  return setting(
    'text',
    options.pattern === undefined ? '' : String(options.pattern),
    options,
    (value) => {
      if (options.pattern !== undefined && !options.pattern.test(value))
        throw new Error(`must match ${options.pattern}`);
      return value;
    },
  );
}

/** A list written with `;` between its items. */
export function list(
  options: Common & { readonly default: readonly string[] },
): Setting<readonly string[]> {
  return setting('list', 'items separated by ;', options, (value) =>
    value
      .split(';')
      .map((item) => item.trim())
      .filter((item) => item !== ''),
  );
}

/** true or false. */
export function flag(options: Common & { readonly default: boolean }): Setting<boolean> {
  return setting('flag', 'true | false', options, (value) => {
    if (value === 'true' || value === '') return true;
    if (value === 'false') return false;
    throw new Error('must be true or false');
  });
}

/** One of a closed list of words. */
export function choice<const T extends string>(
  options: Common & { readonly default: T; readonly of: readonly T[] },
): Setting<T> {
  return setting<T>('choice', options.of.join(' | '), options, (value) => {
    const found = options.of.find((word) => word === value);
    if (found === undefined) throw new Error(`must be one of ${options.of.join(', ')}`);
    return found;
  });
}

interface Bounds extends Common {
  readonly default: number;
  readonly min: number;
  readonly max: number;
}

function bounded(
  kind: string,
  units: Readonly<Record<string, number>>,
  options: Bounds,
): Setting<number> {
  return setting(kind, `${options.min} .. ${options.max}`, options, (value) => {
    const match = /^(-?\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(value.trim());
    const factor = match === null ? undefined : units[match[2]!];
    if (match === null || factor === undefined)
      throw new Error(
        `must be a number${Object.keys(units).length > 1 ? ` with one of the units ${Object.keys(units).filter(Boolean).join(', ')}` : ''}`,
      );
    const number = Number(match[1]) * factor;
    if (!(number >= options.min && number <= options.max))
      throw new Error(`must be between ${options.min} and ${options.max}`);
    return number;
  });
}

/** A plain number. */
export const count = (options: Bounds): Setting<number> => bounded('count', { '': 1 }, options);
/** A duration in milliseconds; `s`, `m`, `h` and `d` may follow the number. */
export const ms = (options: Bounds): Setting<number> =>
  bounded('ms', { '': 1, ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }, options);
/** A size in bytes; `KiB`, `MiB` and `GiB` may follow the number. */
export const bytes = (options: Bounds): Setting<number> =>
  bounded('bytes', { '': 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }, options);

/** Where settings come from; flags win over environment, environment over file, file over defaults. */
export interface ConfigSources {
  readonly flags?: Readonly<Record<string, string>>;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Path of a JSON file with setting names as keys. */
  readonly file?: string;
}

/** `segmentSizeBytes` becomes `RAFTMQ_SEGMENT_SIZE_BYTES`. */
export function environmentName(name: string): string {
  return 'RAFTMQ_' + name.replace(/[A-Z]/g, (letter) => '_' + letter).toUpperCase();
}

/**
 * Reads all settings of `table`. Unknown keys in flags and file are refused; unknown environment variables are not
 * ours to judge.
 * @throws MqError CONFIG_INVALID naming the key, the value, where it came from and what is allowed
 */
export function loadConfig<T extends SettingsTable>(
  table: T,
  sources: ConfigSources,
): SettingsOf<T> {
  const file = sources.file === undefined ? {} : readConfigFile(sources.file);
  for (const [where, values] of [
    [`file ${sources.file}`, file],
    ['flags', sources.flags ?? {}],
  ] as const) {
    for (const key of Object.keys(values)) {
      if (Object.hasOwn(table, key)) continue;
      const near = nearest(key, Object.keys(table));
      throw new MqError(
        'CONFIG_INVALID',
        `unknown setting "${key}" in ${where}; did you mean "${near}"?`,
      );
    }
  }
  const result: Record<string, unknown> = {};
  for (const [key, entry] of Object.entries(table)) {
    const environment = sources.environment ?? {};
    const candidates: [string, unknown][] = [
      ['flag', sources.flags?.[key]],
      [environmentName(key), environment[environmentName(key)]],
      [entry.env ?? '', entry.env === undefined ? undefined : environment[entry.env]],
      [`file ${sources.file}`, file[key]],
    ];
    const found = candidates.find(([, value]) => value !== undefined);
    if (found === undefined) {
      result[key] = entry.default;
      continue;
    }
    const written = Array.isArray(found[1]) ? found[1].join(';') : String(found[1]);
    try {
      result[key] = entry.parse(written);
    } catch (error) {
      throw new MqError(
        'CONFIG_INVALID',
        `setting "${key}" (from ${found[0]}) is "${written}": ${(error as Error).message}`,
      );
    }
  }
  return result as SettingsOf<T>;
}

function readConfigFile(path: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new MqError(
      'CONFIG_INVALID',
      `cannot read the config file ${path}: ${(error as Error).message}`,
    );
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new MqError('CONFIG_INVALID', `the config file ${path} must hold one JSON object`);
  }
  return parsed as Record<string, unknown>;
}

/** The candidate with the smallest edit distance to `word`. */
export function nearest(word: string, candidates: readonly string[]): string {
  let best = candidates[0] ?? '';
  let bestDistance = Infinity;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(
        Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)),
      );
    }
    row = next;
  }
  return row[b.length]!;
}
