import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Results } from './round.js';
import { scenarios } from './scenarios.js';
import { type Sdk } from './sdk.js';

const PAGE = join(__dirname, '..', '..', '..', 'docs', 'compatibility.md');
const NOT_RUN = 'not run here';
const RUN_ON = 'run on';

const HEAD = `# Compatibility

What works with which official SDK, unmodified, from its package registry. Written from test runs by
\`REWRITE=1 npx jest test/conformance --selectProjects conformance --runInBand\`; do not edit the table. \`npm test\` runs the same
programs and fails when the table says something else.

Each cell holds two runs against a cluster of three replicas: undisturbed, and with the leader killed (SIGKILL) half way.
Python, Go and Rust have smaller programs: of "normal" and "several topics" with SimpleConsumer only, of "FIFO" the order only.
A dash: there is no program for it, which says nothing about whether it works; the Rust SDK has no PushConsumer, no recall, no
change of the invisible duration (of "SimpleConsumer" it does ack, expiry and stale handle) and no namespaces. "${NOT_RUN}":
the last run found no tools for this language. Rust is built and run only with \`RAFTMQ_TEST_RUST=1\`, as a first build takes
three minutes of CPU time; without it the tests say that they skip it, and its column is of the last run with it. What a program
does is written at its top in \`test/conformance/\`, and what its facts must be in \`test/conformance/harness/scenarios.ts\`. One
SDK alone: \`npx jest test/conformance/java-sdk.test.ts --selectProjects conformance\`.
`;

/** What the table says about one SDK: the cell of each scenario, by its id. */
export type Column = ReadonlyMap<string, string>;

/** Whether the words above the table are those of this file. */
export function headIsCurrent(): boolean {
  return existsSync(PAGE) && readFileSync(PAGE, 'utf8').startsWith(HEAD);
}

/** The column that the results of a run make. */
export function columnOf(sdk: Sdk, calm: Results, killed: Results): Column {
  const word = (results: Results, id: string): string =>
    (results.get(id) ?? ['']).length === 0 ? 'yes' : 'no';
  return new Map(
    scenarios.map(({ id }) => [
      id,
      sdk.scenarios.includes(id) ? `${word(calm, id)}, ${word(killed, id)}` : '-',
    ]),
  );
}

/** The committed column of an SDK; null when the table has none. */
export function readColumn(sdk: Sdk): Column | null {
  const table = readTable();
  const at = table[0]?.indexOf(sdk.column) ?? -1;
  if (at < 0) return null;
  return new Map(
    scenarios.map(({ id, title }) => [id, table.find(([row]) => row === title)?.[at] ?? NOT_RUN]),
  );
}

/** Puts the column of an SDK into the page; the other columns stay as they are. */
export function writeColumn(sdk: Sdk, columns: readonly string[], column: Column): void {
  const old = readTable();
  const cell = (row: string, name: string): string => {
    const at = old[0]?.indexOf(name) ?? -1;
    return (at < 0 ? undefined : old.find(([first]) => first === row)?.[at]) ?? NOT_RUN;
  };
  const today = new Date().toISOString().slice(0, 10);
  const rows = [
    ['feature', ...columns],
    ['---', ...columns.map(() => '---')],
    ...scenarios.map(({ id, title }) => [
      title,
      ...columns.map((name) => (name === sdk.column ? column.get(id)! : cell(title, name))),
    ]),
    [RUN_ON, ...columns.map((name) => (name === sdk.column ? today : cell(RUN_ON, name)))],
  ];
  writeFileSync(PAGE, `${HEAD}\n${rows.map((row) => `| ${row.join(' | ')} |`).join('\n')}\n`);
}

function readTable(): string[][] {
  if (!existsSync(PAGE)) return [];
  return readFileSync(PAGE, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) => line.slice(2, -2).split(' | '));
}
