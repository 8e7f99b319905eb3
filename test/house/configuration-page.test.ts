import { expect, test } from '@jest/globals';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { environmentName, type SettingsTable } from '@raftmq/base';
import { brokerSettings } from '@raftmq/broker';
import { namesrvSettings } from '@raftmq/namesrv';

/* docs/configuration.md is made from the settings tables. `REWRITE=1` writes it anew. */

const path = join(__dirname, '..', '..', 'docs', 'configuration.md');

const flag = (name: string): string =>
  `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
const cell = (text: string): string => text.replaceAll('|', '\\|');

function section(title: string, table: SettingsTable): string {
  const lines = [
    `## ${title}`,
    '',
    '| setting | default | allowed | scope | environment | meaning |',
    '|---|---|---|---|---|---|',
  ];
  for (const [name, setting] of Object.entries(table)) {
    const value = Array.isArray(setting.default) ? setting.default.join(';') : setting.default;
    const environment = [environmentName(name), setting.env].filter((one) => one !== undefined);
    lines.push(
      `| \`${name}\`<br>\`${flag(name)}\` | ${value === '' ? '(empty)' : `\`${String(value)}\``} | ` +
        `${cell(`${setting.kind}${setting.range === '' ? '' : `, ${setting.range}`}`)} | ${setting.scope} | ` +
        `${environment.map((one) => `\`${one}\``).join(' ')} | ${cell(setting.doc)} |`,
    );
  }
  return lines.join('\n');
}

function page(): string {
  return [
    '# Configuration',
    '',
    'Made from the settings tables by `REWRITE=1 npx jest test/house`; do not edit.',
    '',
    'A setting comes from its flag, else from its environment variable, else from the JSON file named by `--config` (keys as',
    'in the first column), else it has its default. Unknown flags and keys are refused. Durations are milliseconds, or a',
    'number with `s`, `m`, `h` or `d`; sizes are bytes, or a number with `KiB`, `MiB` or `GiB`; items of a list are separated',
    'by `;`. Scope `cluster` means: equal on all nodes that belong together. `--print-config` prints what a node would use.',
    '',
    section('Broker: `raftmq broker`', brokerSettings),
    '',
    section('NameServer: `raftmq namesrv`', namesrvSettings),
    '',
  ].join('\n');
}

test('docs/configuration.md says what the tables say', () => {
  if (process.env['REWRITE'] === '1') writeFileSync(path, page());
  expect(existsSync(path) ? readFileSync(path, 'utf8') : '').toBe(page());
});
