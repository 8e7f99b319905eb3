/** An assertion failed: the program is in a state its author held to be impossible. The process has to stop. */
export class AssertionFailure extends Error {
  override readonly name = 'AssertionFailure';
}

/**
 * Stops everything when `condition` does not hold. One condition per call; kept on in production.
 * @throws AssertionFailure with `message`
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionFailure(message);
}

/** Asserts that `value` is an integer that a double holds exactly, and returns it. `what` names it in the failure. */
export function assertSafeInteger(value: number, what: string): number {
  if (!Number.isSafeInteger(value))
    throw new AssertionFailure(`${what} is not a safe integer: ${value}`);
  return value;
}
