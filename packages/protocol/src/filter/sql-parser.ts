import { sqlFilterLimits } from '../limits.js';
import {
  type SqlCondition,
  type SqlExpression,
  type SqlMembership,
  type SqlNumber,
  type SqlOperand,
  type SqlOperator,
  type SqlProperty,
  type SqlSearchPlace,
} from './sql-ast.js';
import { sqlError } from './sql-error.js';
import { SqlLexer, type Token } from './sql-lexer.js';

/**
 * Reads an SQL filter expression of bounded length. One token of look-ahead, no way back, and bounds on depth and number
 * of parts: whatever comes in is read or refused within a few milliseconds.
 *
 *     condition  = and { OR and }
 *     and        = not { AND not }
 *     not        = { NOT } predicate
 *     predicate  = operand [ test ]
 *     test       = ( "=" | "<>" | "<" | "<=" | ">" | ">=" ) operand
 *                | IS [ NOT ] NULL
 *                | [ NOT ] BETWEEN operand AND operand
 *                | [ NOT ] IN "(" value { "," value } ")"
 *                | [ NOT ] ( CONTAINS | STARTSWITH | ENDSWITH ) text
 *     operand    = name | value | TRUE | FALSE | "(" condition ")"
 *     value      = text | [ "+" | "-" ] number
 *
 * @throws MqError ILLEGAL_FILTER_EXPRESSION
 */
export function parseSqlExpression(source: string): SqlExpression {
  return new Parser(source).parse();
}

class Parser {
  readonly #lexer: SqlLexer;
  readonly #slots = new Map<string, number>();
  #token: Token;
  #depth = 0;
  #nodes = 0;

  constructor(source: string) {
    this.#lexer = new SqlLexer(source);
    this.#token = this.#lexer.next();
  }

  parse(): SqlExpression {
    if (this.#atEnd()) throw sqlError('it is empty; write a condition, as a > 5');
    const condition = this.#asCondition(this.#or(), 0);
    if (!this.#atEnd()) throw this.#unexpected('AND, OR or the end');
    return { condition, names: [...this.#slots.keys()] };
  }

  #or(): SqlOperand {
    const { at } = this.#token;
    const first = this.#and();
    if (!this.#isKeyword('OR')) return first;
    const parts = [this.#asCondition(first, at)];
    while (this.#takeKeyword('OR')) parts.push(this.#condition(() => this.#and()));
    return { kind: 'or', parts };
  }

  #and(): SqlOperand {
    const { at } = this.#token;
    const first = this.#not();
    if (!this.#isKeyword('AND')) return first;
    const parts = [this.#asCondition(first, at)];
    while (this.#takeKeyword('AND')) parts.push(this.#condition(() => this.#not()));
    return { kind: 'and', parts };
  }

  #not(): SqlOperand {
    const { at } = this.#token;
    let nots = 0;
    for (; this.#takeKeyword('NOT'); nots++) this.#count();
    const operand = this.#predicate();
    if (nots === 0) return operand;
    const condition = this.#asCondition(operand, at);
    return nots % 2 === 0 ? condition : negation(condition);
  }

  #predicate(): SqlOperand {
    const { at } = this.#token;
    const left = this.#operand();
    const { kind, text } = this.#token;
    if (kind === 'symbol' && '=<>'.includes(text[0]!)) return this.#comparison(left, at);
    if (kind !== 'keyword') return left;
    if (this.#takeKeyword('IS')) return this.#nullTest(left);
    const negated = this.#takeKeyword('NOT');
    const place = this.#token.text;
    if (this.#takeKeyword('BETWEEN')) return this.#between(left, at, negated);
    if (this.#takeKeyword('IN')) return this.#membership(left, at, negated);
    for (const known of ['CONTAINS', 'STARTSWITH', 'ENDSWITH'] as const) {
      if (this.#takeKeyword(known)) return this.#search(left, at, known, negated);
    }
    if (negated) throw this.#unexpected('BETWEEN, IN, CONTAINS, STARTSWITH or ENDSWITH after NOT');
    if (place === 'AND' || place === 'OR') return left;
    throw this.#unexpected('a comparison, AND, OR or the end');
  }

  #comparison(left: SqlOperand, at: number): SqlCondition {
    const { text: symbol } = this.#take();
    const rightAt = this.#token.at;
    const right = this.#operand();
    this.#count();
    if (symbol === '=' || symbol === '<>') {
      checkEqualOperands(left, right, at);
      const equal: SqlCondition = { kind: 'compare', operator: '=', left, right };
      return symbol === '=' ? equal : negation(equal);
    }
    return order(symbol as SqlOperator, left, at, right, rightAt);
  }

  #nullTest(of: SqlOperand): SqlCondition {
    const negated = this.#takeKeyword('NOT');
    if (!this.#takeKeyword('NULL')) throw this.#unexpected('NULL');
    this.#count();
    return negated ? negation({ kind: 'null', of }) : { kind: 'null', of };
  }

  #between(of: SqlOperand, at: number, negated: boolean): SqlCondition {
    const lowAt = this.#token.at;
    const low = this.#operand();
    if (!this.#takeKeyword('AND')) throw this.#unexpected('AND between the two bounds of BETWEEN');
    const highAt = this.#token.at;
    const high = this.#operand();
    this.#count();
    this.#count();
    const parts = [order('>=', of, at, low, lowAt), order('<=', of, at, high, highAt)];
    if (low.kind === 'number' && high.kind === 'number' && low.value > high.value) {
      throw sqlError(
        `BETWEEN ${low.text} AND ${high.text} holds nothing; the lower bound comes first`,
        lowAt,
      );
    }
    const inside: SqlCondition = { kind: 'and', parts };
    return negated ? negation(inside) : inside;
  }

  #membership(operand: SqlOperand, at: number, negated: boolean): SqlCondition {
    const of = needProperty(operand, at, 'IN');
    this.#needSymbol('(');
    const texts = new Set<string>();
    const numbers: SqlNumber[] = [];
    for (let count = 1; ; count++) {
      const valueAt = this.#token.at;
      if (count > sqlFilterLimits.listLengthMax) {
        throw sqlError(
          `a list after IN has more than ${sqlFilterLimits.listLengthMax} values`,
          valueAt,
        );
      }
      if (this.#token.kind === 'text') texts.add(this.#take().text);
      else numbers.push(this.#number('a text or a number'));
      if (!this.#takeSymbol(',')) break;
    }
    this.#needSymbol(')');
    this.#count();
    const found: SqlMembership = { kind: 'in', of, texts, numbers };
    return negated ? negation(found) : found;
  }

  #search(operand: SqlOperand, at: number, place: SqlSearchPlace, negated: boolean): SqlCondition {
    const of = needProperty(operand, at, place);
    if (this.#token.kind !== 'text')
      throw this.#unexpected(`a text in single quotes after ${place}`);
    this.#count();
    return { kind: 'search', of, place, text: this.#take().text, negated };
  }

  #operand(): SqlOperand {
    this.#count();
    const { kind, text, at } = this.#token;
    if (kind === 'word') return this.#property();
    if (kind === 'text') return { kind: 'text', value: this.#take().text };
    if (kind === 'keyword' && (text === 'TRUE' || text === 'FALSE')) {
      this.#take();
      return { kind: 'constant', value: text === 'TRUE' };
    }
    if (text === 'NULL')
      throw sqlError('NULL cannot be compared; write IS NULL or IS NOT NULL', at);
    if (kind === 'symbol' && text === '(') return this.#parenthesis();
    return this.#number('a name, a number, a text in single quotes or "("');
  }

  #parenthesis(): SqlOperand {
    const { at } = this.#take();
    if (++this.#depth > sqlFilterLimits.depthMax) {
      throw sqlError(`parentheses are nested more than ${sqlFilterLimits.depthMax} deep`, at);
    }
    const inside = this.#or();
    this.#needSymbol(')');
    this.#depth--;
    return inside;
  }

  #number(expected: string): SqlNumber {
    const minus = this.#takeSymbol('-');
    if (!minus) this.#takeSymbol('+');
    const { kind, text, at } = this.#token;
    if (kind !== 'number') throw this.#unexpected(minus ? 'a number after "-"' : expected);
    if (text.length > sqlFilterLimits.numberLengthMax) {
      throw sqlError(`a number has more than ${sqlFilterLimits.numberLengthMax} characters`, at);
    }
    this.#take();
    const value = Number(text);
    if (!Number.isFinite(value)) throw sqlError(`the number ${text} is too large`, at);
    return { kind: 'number', text: minus ? `-${text}` : text, value: minus ? -value : value };
  }

  #property(): SqlProperty {
    const { text, at } = this.#take();
    let slot = this.#slots.get(text);
    if (slot === undefined) {
      slot = this.#slots.size;
      if (slot >= sqlFilterLimits.propertiesMax) {
        throw sqlError(
          `it names more than ${sqlFilterLimits.propertiesMax} different properties`,
          at,
        );
      }
      this.#slots.set(text, slot);
    }
    return { kind: 'property', slot };
  }

  #condition(read: () => SqlOperand): SqlCondition {
    const { at } = this.#token;
    return this.#asCondition(read(), at);
  }

  #asCondition(operand: SqlOperand, at: number): SqlCondition {
    if (operand.kind === 'property') return { kind: 'truth', of: operand };
    if (operand.kind === 'text' || operand.kind === 'number')
      throw sqlError(`a ${operand.kind} alone is no condition; compare it with a property`, at);
    return operand;
  }

  #count(): void {
    if (++this.#nodes > sqlFilterLimits.nodesMax) {
      throw sqlError(`it has more than ${sqlFilterLimits.nodesMax} parts`, this.#token.at);
    }
  }

  #take(): Token {
    const token = this.#token;
    this.#token = this.#lexer.next();
    return token;
  }

  #atEnd(): boolean {
    return this.#token.kind === 'end';
  }

  #isKeyword(text: string): boolean {
    return this.#token.kind === 'keyword' && this.#token.text === text;
  }

  #takeKeyword(text: string): boolean {
    if (!this.#isKeyword(text)) return false;
    this.#take();
    return true;
  }

  #takeSymbol(text: string): boolean {
    if (this.#token.kind !== 'symbol' || this.#token.text !== text) return false;
    this.#take();
    return true;
  }

  #needSymbol(text: string): void {
    if (!this.#takeSymbol(text)) throw this.#unexpected(`"${text}"`);
  }

  #unexpected(expected: string): Error {
    const { kind, text, at } = this.#token;
    const found = kind === 'end' ? 'the expression ends' : `there is ${shown(text)}`;
    return sqlError(`expected ${expected}, but ${found}`, at);
  }
}

function order(
  operator: SqlOperator,
  left: SqlOperand,
  leftAt: number,
  right: SqlOperand,
  rightAt: number,
): SqlCondition {
  checkOrdered(left, leftAt);
  checkOrdered(right, rightAt);
  return { kind: 'compare', operator, left, right };
}

function checkOrdered(operand: SqlOperand, at: number): void {
  if (operand.kind === 'property' || operand.kind === 'number') return;
  const what = operand.kind === 'text' ? `the text ${shown(operand.value)}` : 'a condition';
  throw sqlError(
    `${what} has no order; only numbers are compared with <, <=, >, >= and BETWEEN`,
    at,
  );
}

function checkEqualOperands(left: SqlOperand, right: SqlOperand, at: number): void {
  if (
    (left.kind === 'number' && isCondition(right)) ||
    (right.kind === 'number' && isCondition(left))
  )
    throw sqlError('a number cannot be compared with TRUE, FALSE or a condition', at);
}

/** Whether an operand is true, false or unknown by itself. */
export function isCondition(operand: SqlOperand): operand is SqlCondition {
  return operand.kind !== 'property' && operand.kind !== 'text' && operand.kind !== 'number';
}

function needProperty(operand: SqlOperand, at: number, keyword: string): SqlProperty {
  if (operand.kind === 'property') return operand;
  throw sqlError(`${keyword} looks at a property; write its name in front of ${keyword}`, at);
}

function negation(of: SqlCondition): SqlCondition {
  return { kind: 'not', of };
}

function shown(text: string): string {
  return text.length <= 40 ? `"${text}"` : `"${text.slice(0, 40)}…"`;
}
