import { compareNumbers, textToNumber } from './numbers.js';
import { type PropertySlots } from './property-slots.js';
import {
  type SqlComparison,
  type SqlCondition,
  type SqlMembership,
  type SqlOperand,
  type SqlOperator,
  type SqlSearch,
} from './sql-ast.js';
import { isCondition } from './sql-parser.js';

/** Three-valued logic: what involves a missing value, or a text where a number is asked for, is unknown. */
export const truth = { FALSE: 0, TRUE: 1, UNKNOWN: 2 } as const;
export type Truth = (typeof truth)[keyof typeof truth];

const { FALSE, TRUE, UNKNOWN } = truth;

/** Says whether a condition holds for the message that the slots are bound to. */
export type Test = () => Truth;

/** Turns a condition into closures over `slots`; the cost of one call is bounded by the number of its parts. */
export function compileCondition(condition: SqlCondition, slots: PropertySlots): Test {
  switch (condition.kind) {
    case 'constant': {
      const value = condition.value ? TRUE : FALSE;
      return () => value;
    }
    case 'truth':
      return truthOf(condition.of, slots);
    case 'not':
      return not(compileCondition(condition.of, slots));
    case 'and':
      return all(condition.parts.map((part) => compileCondition(part, slots)));
    case 'or':
      return any(condition.parts.map((part) => compileCondition(part, slots)));
    case 'compare':
      return condition.operator === '=' ? equality(condition, slots) : ordering(condition, slots);
    case 'null':
      return nullTest(condition.of, slots);
    case 'in':
      return membership(condition, slots);
    case 'search':
      return search(condition, slots);
  }
}

function not(test: Test): Test {
  return () => {
    const value = test();
    return value === UNKNOWN ? UNKNOWN : value === TRUE ? FALSE : TRUE;
  };
}

function all(tests: readonly Test[]): Test {
  return () => {
    let result: Truth = TRUE;
    for (let i = 0; i < tests.length; i++) {
      const value = tests[i]!();
      if (value === FALSE) return FALSE;
      if (value === UNKNOWN) result = UNKNOWN;
    }
    return result;
  };
}

function any(tests: readonly Test[]): Test {
  return () => {
    let result: Truth = FALSE;
    for (let i = 0; i < tests.length; i++) {
      const value = tests[i]!();
      if (value === TRUE) return TRUE;
      if (value === UNKNOWN) result = UNKNOWN;
    }
    return result;
  };
}

function equality({ left, right }: SqlComparison, slots: PropertySlots): Test {
  if (isCondition(left) || isCondition(right)) {
    const a = truthOf(left, slots);
    const b = truthOf(right, slots);
    return () => {
      const valueA = a();
      const valueB = b();
      if (valueA === UNKNOWN || valueB === UNKNOWN) return UNKNOWN;
      return valueA === valueB ? TRUE : FALSE;
    };
  }
  if (left.kind === 'number' || right.kind === 'number') {
    return comparison('=', left, right, slots);
  }
  if (left.kind === 'property' && right.kind === 'text')
    return textEquality(left.slot, right.value, slots);
  if (right.kind === 'property' && left.kind === 'text')
    return textEquality(right.slot, left.value, slots);
  const a = textOf(left, slots);
  const b = textOf(right, slots);
  return () => {
    const textA = a();
    const textB = b();
    if (textA === null || textB === null) return UNKNOWN;
    return textA === textB ? TRUE : FALSE;
  };
}

function textEquality(slot: number, text: string, slots: PropertySlots): Test {
  const bytes = Buffer.from(text);
  return () => (slots.missing(slot) ? UNKNOWN : slots.equals(slot, bytes) ? TRUE : FALSE);
}

function ordering({ operator, left, right }: SqlComparison, slots: PropertySlots): Test {
  return comparison(operator, left, right, slots);
}

function comparison(
  operator: SqlOperator,
  left: SqlOperand,
  right: SqlOperand,
  slots: PropertySlots,
): Test {
  const a = numberOf(left, slots);
  const b = numberOf(right, slots);
  const textA = textOf(left, slots) as () => string;
  const textB = textOf(right, slots) as () => string;
  const holds = orderTest(operator);
  return () => {
    const valueA = a();
    const valueB = b();
    if (Number.isNaN(valueA) || Number.isNaN(valueB)) return UNKNOWN;
    return holds(compareNumbers(valueA, valueB, textA, textB)) ? TRUE : FALSE;
  };
}

function orderTest(operator: SqlOperator): (order: number) => boolean {
  switch (operator) {
    case '=':
      return (order) => order === 0;
    case '<':
      return (order) => order < 0;
    case '<=':
      return (order) => order <= 0;
    case '>':
      return (order) => order > 0;
    case '>=':
      return (order) => order >= 0;
  }
}

function nullTest(of: SqlOperand, slots: PropertySlots): Test {
  if (of.kind === 'property') return () => (slots.missing(of.slot) ? TRUE : FALSE);
  if (!isCondition(of)) return () => FALSE;
  const test = compileCondition(of, slots);
  return () => (test() === UNKNOWN ? TRUE : FALSE);
}

function membership({ of, texts, numbers }: SqlMembership, slots: PropertySlots): Test {
  const { slot } = of;
  return () => {
    const text = slots.text(slot);
    if (text === null) return UNKNOWN;
    if (texts.has(text)) return TRUE;
    if (numbers.length === 0) return FALSE;
    const value = slots.number(slot);
    if (Number.isNaN(value)) return UNKNOWN;
    for (let i = 0; i < numbers.length; i++) {
      const number = numbers[i]!;
      if (
        compareNumbers(
          value,
          number.value,
          () => text,
          () => number.text,
        ) === 0
      )
        return TRUE;
    }
    return FALSE;
  };
}

function search({ of, place, text, negated }: SqlSearch, slots: PropertySlots): Test {
  const { slot } = of;
  // As in RocketMQ: an empty text is found nowhere, and not being found there is not true either.
  if (text === '') return () => FALSE;
  const bytes = Buffer.from(text);
  const found = negated ? FALSE : TRUE;
  const other = negated ? TRUE : FALSE;
  switch (place) {
    case 'CONTAINS':
      return () => (slots.missing(slot) ? UNKNOWN : slots.contains(slot, bytes) ? found : other);
    case 'STARTSWITH':
      return () => (slots.missing(slot) ? UNKNOWN : slots.startsWith(slot, bytes) ? found : other);
    case 'ENDSWITH':
      return () => (slots.missing(slot) ? UNKNOWN : slots.endsWith(slot, bytes) ? found : other);
  }
}

function truthOf(operand: SqlOperand, slots: PropertySlots): Test {
  if (isCondition(operand)) return compileCondition(operand, slots);
  const text = textOf(operand, slots);
  return () => {
    const value = text();
    // Longer texts are neither word.
    if (value === null || value.length > 5) return UNKNOWN;
    const lower = value.toLowerCase();
    return lower === 'true' ? TRUE : lower === 'false' ? FALSE : UNKNOWN;
  };
}

/** NaN: none. Conditions have none. */
function numberOf(operand: SqlOperand, slots: PropertySlots): () => number {
  if (operand.kind === 'property') return () => slots.number(operand.slot);
  const value =
    operand.kind === 'number'
      ? operand.value
      : operand.kind === 'text'
        ? textToNumber(operand.value)
        : NaN;
  return () => value;
}

/** null: none. Conditions have none. */
function textOf(operand: SqlOperand, slots: PropertySlots): () => string | null {
  if (operand.kind === 'property') return () => slots.text(operand.slot);
  const text =
    operand.kind === 'number' ? operand.text : operand.kind === 'text' ? operand.value : null;
  return () => text;
}
