import { type Scenario, scenarios } from './scenarios.js';

/** What runs the programs of one official SDK. */
export interface Sdk {
  /** Short name: part of topic and group names. */
  readonly id: string;
  /** Column of the table of `docs/compatibility.md`: language, package and version. */
  readonly column: string;
  /** Scenarios that have a program in this SDK; the table has a dash for the others. */
  readonly scenarios: readonly string[];
  /** Whether its `endpoints` option takes one address only. */
  readonly singleAddress: boolean;
  /** Programs at the same time. */
  readonly parallel: number;
  /** Builds the programs; gives the reason when this machine cannot. */
  prepare(): string | null;
  program(scenario: string): Launch;
}

/** How a program is started; the options of the scenario go behind `args`. */
export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const ONLY = process.env['RAFTMQ_TEST_SCENARIOS']?.split(',');

/** The scenarios that this run is about: those of the SDK, or of them what `RAFTMQ_TEST_SCENARIOS` names. */
export function scenariosOf(sdk: Sdk): readonly Scenario[] {
  return scenarios.filter(
    ({ id }) => sdk.scenarios.includes(id) && (ONLY === undefined || ONLY.includes(id)),
  );
}

/** Whether all scenarios run, against a cluster of ours: only then the table can be compared. */
export const WHOLE_RUN = ONLY === undefined && process.env['RAFTMQ_TEST_ENDPOINTS'] === undefined;
