import { sqlError } from './sql-error.js';

/** Kinds of tokens; `word` is a property name, every other kind of letters is a reserved word. */
export type TokenKind = 'word' | 'keyword' | 'text' | 'number' | 'symbol' | 'end';

export interface Token {
  readonly kind: TokenKind;
  /** Keywords in capitals, texts without quotes, all else as written. */
  readonly text: string;
  /** Index of its first character. */
  readonly at: number;
}

const keywords: ReadonlySet<string> = new Set(
  'NOT AND OR BETWEEN IN TRUE FALSE NULL IS CONTAINS STARTSWITH ENDSWITH'.split(' '),
);
/** Longer reserved words do not exist, so longer words need no look. */
const KEYWORD_LENGTH_MAX = 10;

const TAB = 9;
const FORM_FEED = 12;
const LINE_FEED = 10;
const RETURN = 13;
const SPACE = 32;
const QUOTE = 39;
const PLUS = 43;
const MINUS = 45;
const DOT = 46;

/** Cuts an expression into tokens, one per call, looking at each character once. */
export class SqlLexer {
  readonly #source: string;
  #at = 0;

  constructor(source: string) {
    this.#source = source;
  }

  /** @throws MqError ILLEGAL_FILTER_EXPRESSION at a character that begins nothing, or an open text or comment */
  next(): Token {
    this.#skipBlank();
    const source = this.#source;
    const at = this.#at;
    if (at >= source.length) return { kind: 'end', text: '', at };
    const code = source.charCodeAt(at);
    if (isWordStart(code)) return this.#word(at);
    if (isDigit(code) || (code === DOT && isDigit(source.charCodeAt(at + 1))))
      return this.#number(at);
    if (code === QUOTE) return this.#text(at);
    return this.#symbol(at);
  }

  #skipBlank(): void {
    const source = this.#source;
    for (; this.#at < source.length; this.#at++) {
      const code = source.charCodeAt(this.#at);
      if (isBlank(code)) continue;
      if (source.startsWith('--', this.#at)) this.#at = lineEnd(source, this.#at) - 1;
      else if (source.startsWith('/*', this.#at)) {
        const end = source.indexOf('*/', this.#at + 2);
        if (end < 0) throw sqlError('a comment is not closed by "*/"', this.#at);
        this.#at = end + 1;
      } else return;
    }
  }

  #word(at: number): Token {
    const source = this.#source;
    let end = at + 1;
    for (; isWordStart(source.charCodeAt(end)) || isDigit(source.charCodeAt(end));) end++;
    this.#at = end;
    const text = source.slice(at, end);
    const upper = text.length > KEYWORD_LENGTH_MAX ? text : text.toUpperCase();
    if (keywords.has(upper)) return { kind: 'keyword', text: upper, at };
    return { kind: 'word', text, at };
  }

  /** `5`, `5L`, `5.5`, `5.`, `.5`, `5E10`, `5.5e-3`; a sign is a symbol of its own. */
  #number(at: number): Token {
    const source = this.#source;
    let end = digitsEnd(source, at);
    if (source.charCodeAt(end) === DOT) end = digitsEnd(source, end + 1);
    let text = source.slice(at, end);
    const letter = source[end] ?? '';
    if (letter === 'e' || letter === 'E') {
      const sign = source.charCodeAt(end + 1);
      const digits = sign === PLUS || sign === MINUS ? end + 2 : end + 1;
      end = digitsEnd(source, digits);
      if (end === digits) throw sqlError('a number ends after its "E"', at);
      text = source.slice(at, end);
    } else if ((letter === 'l' || letter === 'L') && !text.includes('.')) end++;
    if (isWordStart(source.charCodeAt(end)))
      throw sqlError('a number runs into a word; put a space between them', end);
    this.#at = end;
    return { kind: 'number', text, at };
  }

  /** In single quotes; a quote inside is written twice. */
  #text(at: number): Token {
    const source = this.#source;
    let text = '';
    for (let from = at + 1; ;) {
      const end = source.indexOf("'", from);
      if (end < 0) throw sqlError('a text is not closed by a single quote', at);
      text += source.slice(from, end);
      from = end + 2;
      if (source.charCodeAt(end + 1) !== QUOTE) {
        this.#at = end + 1;
        return { kind: 'text', text, at };
      }
      text += "'";
    }
  }

  #symbol(at: number): Token {
    const source = this.#source;
    const two = source.slice(at, at + 2);
    const text = two === '<>' || two === '<=' || two === '>=' ? two : source[at]!;
    if (!'()=<>,+-'.includes(text[0]!))
      throw sqlError(`"${text}" means nothing here; ${hint(text)}`, at);
    this.#at = at + text.length;
    return { kind: 'symbol', text, at };
  }
}

function hint(symbol: string): string {
  if (symbol === '"') return 'write texts in single quotes';
  if (symbol === '!') return 'unequal is written <>';
  if (symbol === '|') return 'join conditions with OR; "a || b" is for TAG filters';
  if (symbol === '&') return 'join conditions with AND';
  if (symbol === '.') return 'names have letters, digits, "_" and "$" only';
  return 'an expression has names, numbers, texts in single quotes, comparisons, AND, OR and NOT';
}

function lineEnd(source: string, from: number): number {
  let at = from;
  while (
    at < source.length &&
    source.charCodeAt(at) !== LINE_FEED &&
    source.charCodeAt(at) !== RETURN
  )
    at++;
  return at;
}

function digitsEnd(source: string, from: number): number {
  let at = from;
  while (isDigit(source.charCodeAt(at))) at++;
  return at;
}

function isBlank(code: number): boolean {
  return (
    code === SPACE || code === TAB || code === LINE_FEED || code === RETURN || code === FORM_FEED
  );
}

/** NaN, the code behind the end, is none of these. */
function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

function isWordStart(code: number): boolean {
  return (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || code === 95 || code === 36;
}
