import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { runRound, type Results } from './round.js';
import { type Scenario } from './scenarios.js';
import { scenariosOf, type Sdk, WHOLE_RUN } from './sdk.js';
import { sdks } from './sdks.js';
import { columnOf, headIsCurrent, readColumn, writeColumn } from './table.js';
import { openTarget, type Target } from './target.js';

const ROUNDS_TIMEOUT_MS = 600_000;
const NONE: Results = new Map();
const REWRITE = process.env['REWRITE'] === '1';

/** What the table says does not work must not work: else the table is to be written anew. */
function expectVerdict(complaints: readonly string[], works: boolean): void {
  if (works) expect(complaints).toEqual([]);
  else expect(complaints).not.toEqual([]);
}

/**
 * The tests of one SDK: all its programs once undisturbed and once with the leader killed half way, and the table of
 * `docs/compatibility.md` that the results make. The programs run side by side before the first test looks at them.
 */
export function conformanceSuite(sdk: Sdk): void {
  const skipped = sdk.prepare();
  if (skipped !== null) process.stderr.write(`skipping ${sdk.column}: ${skipped}\n`);
  const title = `${sdk.column}${skipped === null ? '' : ` (skipped: ${skipped})`}`;
  (skipped === null ? describe : describe.skip)(title, () => {
    let target: Target;
    let calm = NONE;
    let killed = NONE;
    beforeAll(async () => {
      target = await openTarget();
      calm = await runRound(sdk, target, false);
      if (target.killer !== null) killed = await runRound(sdk, target, true);
    }, ROUNDS_TIMEOUT_MS);
    afterAll(() => target?.stop(), 30_000);

    const own = scenariosOf(sdk);
    const committed = REWRITE ? null : readColumn(sdk);
    /** Title, id, and what the committed table says: does it work undisturbed (0), through a kill (1)? */
    const rows = (list: readonly Scenario[], at: number): [string, string, boolean][] =>
      list.map(({ id, title }) => [title, id, committed?.get(id)?.split(', ')[at] !== 'no']);

    test.each(rows(own, 0))('%s', (_, id, works) => {
      expectVerdict(calm.get(id)!, works);
    });

    // Another server (RAFTMQ_TEST_ENDPOINTS) is not ours to kill.
    const whenOurs = process.env['RAFTMQ_TEST_ENDPOINTS'] === undefined ? test : test.skip;
    whenOurs.each(rows(own, 1))('%s, the leader killed half way', (_, id, works) => {
      expectVerdict(killed.get(id)!, works);
    });

    (WHOLE_RUN ? test : test.skip)('docs/compatibility.md says what this run showed', () => {
      const column = columnOf(sdk, calm, killed);
      if (REWRITE)
        writeColumn(
          sdk,
          sdks.map((one) => one.column),
          column,
        );
      expect(headIsCurrent()).toBe(true);
      expect(Object.fromEntries(readColumn(sdk) ?? [])).toEqual(Object.fromEntries(column));
    });
  });
}
