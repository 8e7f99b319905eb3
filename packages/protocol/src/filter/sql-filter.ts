import { nameLimits, sqlFilterLimits } from '../limits.js';
import { PropertySlots } from './property-slots.js';
import { compileCondition, truth, type Test } from './sql-compile.js';
import { sqlError } from './sql-error.js';
import { parseSqlExpression } from './sql-parser.js';

/** A compiled SQL filter. It has no state between calls and may be shared. */
export interface SqlFilter {
  /** As the client wrote it, without spaces around. */
  readonly expression: string;
  /** Whether a stored message passes: only what is true passes, not what is unknown. */
  matches(record: Buffer): boolean;
}

/** By expression, the one used longest ago first. */
const compiled = new Map<string, SqlFilter>();

/**
 * Compiles an SQL92 expression over a message's properties, or takes it from those compiled before.
 * @throws MqError ILLEGAL_FILTER_EXPRESSION
 */
export function compileSqlFilter(expression: string): SqlFilter {
  if (expression.length > nameLimits.filterLengthMax) {
    throw sqlError(
      `it has ${expression.length} characters; at most ${nameLimits.filterLengthMax} are allowed`,
    );
  }
  const trimmed = expression.trim();
  const known = compiled.get(trimmed);
  if (known !== undefined) {
    compiled.delete(trimmed);
    compiled.set(trimmed, known);
    return known;
  }
  const { condition, names } = parseSqlExpression(trimmed);
  const slots = new PropertySlots(names);
  const filter = new CompiledFilter(trimmed, slots, compileCondition(condition, slots));
  compiled.set(trimmed, filter);
  if (compiled.size > sqlFilterLimits.compiledMax) compiled.delete(compiled.keys().next().value!);
  return filter;
}

class CompiledFilter implements SqlFilter {
  readonly expression: string;
  readonly #slots: PropertySlots;
  readonly #test: Test;

  constructor(expression: string, slots: PropertySlots, test: Test) {
    this.expression = expression;
    this.#slots = slots;
    this.#test = test;
  }

  matches(record: Buffer): boolean {
    this.#slots.bind(record);
    const passes = this.#test() === truth.TRUE;
    this.#slots.release();
    return passes;
  }
}
