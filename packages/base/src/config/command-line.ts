import { MqError } from '../errors.js';
import {
  environmentName,
  loadConfig,
  nearest,
  type SettingsOf,
  type SettingsTable,
} from './config.js';

/** What a command line asked for. */
export type CommandLine<T extends SettingsTable> =
  | { readonly kind: 'run'; readonly settings: SettingsOf<T> }
  | { readonly kind: 'print'; readonly text: string };

/**
 * Reads `--config FILE`, `--help`, `--print-config` and any setting as `--kebab-case value` (or `--kebab-case=value`;
 * a flag needs no value). Flags win over environment, environment over file, file over defaults.
 * @throws MqError CONFIG_INVALID naming what is wrong, with the nearest known setting
 */
export function readCommandLine<T extends SettingsTable>(
  command: string,
  table: T,
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): CommandLine<T> {
  const flags: Record<string, string> = {};
  let file: string | undefined;
  let printConfig = false;
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i]!;
    if (argument === '--help' || argument === '-h')
      return { kind: 'print', text: helpText(command, table) };
    if (argument === '--print-config') {
      printConfig = true;
      continue;
    }
    const match = /^--([a-z][a-z0-9-]*)(?:=([\s\S]*))?$/.exec(argument);
    if (match === null)
      throw new MqError(
        'CONFIG_INVALID',
        `cannot read the argument "${argument}"; settings are written --name value`,
      );
    const name = camelCase(match[1]!);
    const known = name === 'config' || Object.hasOwn(table, name);
    if (!known) {
      const near = kebabCase(
        nearest(name, [...Object.keys(table), 'config', 'help', 'printConfig']),
      );
      throw new MqError(
        'CONFIG_INVALID',
        `unknown flag "--${match[1]}"; did you mean "--${near}"?`,
      );
    }
    const value = match[2] ?? takeValue(table, name, argv[i + 1]);
    if (value === undefined)
      throw new MqError('CONFIG_INVALID', `the flag "--${match[1]}" needs a value`);
    if (match[2] === undefined && value === argv[i + 1]) i++;
    if (name === 'config') file = value;
    else flags[name] = value;
  }
  const settings = loadConfig(table, {
    flags,
    environment,
    ...(file === undefined ? {} : { file }),
  });
  return printConfig
    ? { kind: 'print', text: `${JSON.stringify(settings, null, 2)}\n` }
    : { kind: 'run', settings };
}

function takeValue(
  table: SettingsTable,
  name: string,
  next: string | undefined,
): string | undefined {
  if (table[name]?.kind === 'flag') return next === 'true' || next === 'false' ? next : 'true';
  return next;
}

function camelCase(kebab: string): string {
  return kebab.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function kebabCase(camel: string): string {
  return camel.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function helpText(command: string, table: SettingsTable): string {
  const lines = [
    `Usage: ${command} [--config FILE] [--print-config] [--SETTING VALUE ...]`,
    '',
    'Settings come from flags, then the environment, then the JSON file named by --config, then the defaults below.',
    '',
  ];
  for (const [name, setting] of Object.entries(table)) {
    const value = Array.isArray(setting.default)
      ? setting.default.join(';')
      : String(setting.default);
    const environment = [
      environmentName(name),
      ...(setting.env === undefined ? [] : [setting.env]),
    ].join(', ');
    lines.push(`  --${kebabCase(name)} <${setting.kind}>`);
    lines.push(`      ${setting.doc}`);
    const range = setting.range === '' ? '' : `; ${setting.range}`;
    lines.push(`      default ${value === '' ? 'empty' : value}${range}; ${environment}`);
  }
  return `${lines.join('\n')}\n`;
}
