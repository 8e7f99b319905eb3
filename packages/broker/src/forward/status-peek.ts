/**
 * Reads the status code of an encoded answer without decoding the rest. All answers of the messaging service hold their
 * Status as field 1, and a Status its code as field 1.
 * @returns null when the bytes do not start that way: an answer without a status, or a part of a stream that has none
 */
export function peekStatusCode(answer: Buffer): number | null {
  if (answer.length < 2 || answer[0] !== 0x0a) return null;
  let at = 1;
  while (at < answer.length && answer[at]! >= 0x80) at++;
  at++;
  if (answer[at] !== 0x08) return null;
  let code = 0;
  let factor = 1;
  for (let i = at + 1; i < answer.length && i < at + 6; i++) {
    const byte = answer[i]!;
    code += (byte & 0x7f) * factor;
    if (byte < 0x80) return code;
    factor *= 0x80;
  }
  return null;
}
