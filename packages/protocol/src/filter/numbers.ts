import { sqlFilterLimits } from '../limits.js';

/** A decimal number, spaces around it allowed. Linear: no part of it can match in two ways. */
const numberPattern = /^[ \t\r\n]*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[ \t\r\n]*$/;
const integerPattern = /^[ \t\r\n]*[+-]?\d+[ \t\r\n]*$/;

/** Up to here a number stands for one integer only. */
const EXACT_MAX = 2 ** 53;

/** The number that bytes of a property value spell out; NaN for anything else. */
export function parseNumber(bytes: Buffer, start: number, end: number): number {
  const length = end - start;
  if (length === 0 || length > sqlFilterLimits.numberLengthMax) return NaN;
  // Most values that are compared are short integers: no string is made for them.
  if (length <= 15) {
    let value = 0;
    let at = start;
    for (; at < end; at++) {
      const digit = bytes[at]! - 48;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    if (at === end) return value;
  }
  return textToNumber(bytes.toString('latin1', start, end));
}

/** The number that a text spells out; NaN for anything else. */
export function textToNumber(text: string): number {
  if (text.length > sqlFilterLimits.numberLengthMax || !numberPattern.test(text)) return NaN;
  return Number(text);
}

/**
 * Compares two numbers, neither NaN: negative, 0 or positive. Integers too large for a double are compared digit by
 * digit, as RocketMQ's 64-bit ones are.
 * @param leftText,rightText give what the numbers were read from
 */
export function compareNumbers(
  left: number,
  right: number,
  leftText: () => string,
  rightText: () => string,
): number {
  if (left !== right) return left < right ? -1 : 1;
  if (Math.abs(left) < EXACT_MAX) return 0;
  const a = leftText();
  const b = rightText();
  if (!integerPattern.test(a) || !integerPattern.test(b)) return 0;
  const exactA = BigInt(a.trim().replace('+', ''));
  const exactB = BigInt(b.trim().replace('+', ''));
  return exactA < exactB ? -1 : exactA > exactB ? 1 : 0;
}
