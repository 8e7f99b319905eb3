/** What a program printed. */
export type Facts = Readonly<Record<string, unknown>>;

/**
 * How a scenario was run. `killed`: the leader was killed half way; then a message whose send the SDK gave up and the
 * program repeated may be there twice, and a message whose acknowledgement was lost may come again.
 */
export interface Circumstances {
  readonly killed: boolean;
}

/** Collects what is wrong with the facts of a run. */
export class Verdict {
  readonly complaints: string[] = [];

  check(condition: boolean, complaint: string): void {
    if (!condition) this.complaints.push(complaint);
  }

  equal(actual: unknown, expected: unknown, what: string): void {
    const [is, wanted] = [JSON.stringify(actual), JSON.stringify(expected)];
    this.check(is === wanted, `${what} is ${is}, not ${wanted}`);
  }

  /** All of `expected` came, nothing else did, and each once; `again` tolerates more than once. */
  cameOnce<T>(came: readonly T[], expected: readonly T[], what: string, again = false): void {
    const list = again ? [...new Set(came)] : [...came];
    const order = (a: T, b: T): number => (a < b ? -1 : a > b ? 1 : 0);
    this.equal(list.sort(order), [...expected].sort(order), what);
  }
}

export const numbers = (from: number, end: number): number[] =>
  Array.from({ length: end - from }, (_, i) => from + i);
