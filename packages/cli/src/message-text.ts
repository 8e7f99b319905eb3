import { type FoundMessage } from '@raftmq/client';
import { UsageError } from './command.js';

/** Text of strangers, fit for a terminal: control characters are written as escapes. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (character) => {
    if (character === '\n') return '\\n';
    if (character === '\t') return '\\t';
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

/** `2026-01-31T12:00:00.123Z`; `-` for 0. */
export function timeText(timestampMs: number): string {
  return timestampMs === 0 ? '-' : new Date(timestampMs).toISOString();
}

/**
 * Reads a point in time: `2026-01-31T12:00:00Z`, or a duration ago such as `10m` or `-10m`.
 * @throws UsageError
 */
export function parseTime(flag: string, text: string, nowMs: number): number {
  const ago = /^-?(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  if (ago !== null) return Math.max(0, Math.floor(nowMs - Number(ago[1]) * UNITS_MS[ago[2]!]!));
  const timestampMs = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : NaN;
  if (Number.isFinite(timestampMs)) return timestampMs;
  throw new UsageError(
    `--${flag} is "${text}"; it must be a time such as 2026-01-31T12:00:00Z, or so long ago as 10m, 2h or 1d`,
  );
}

const UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** A body as text when it is UTF-8, else as Base64. */
export function bodyText(body: Buffer): { readonly text: string | null; readonly base64: string } {
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(body), base64: '' };
  } catch {
    return { text: null, base64: body.toString('base64') };
  }
}

/** The beginning of a body for one line of a table. */
export function bodyPreview(message: FoundMessage, length: number): string {
  const { text } = bodyText(message.body);
  if (text === null) return `(${message.bodySize} bytes)`;
  const line = printable(text);
  return line.length > length || !message.bodyComplete ? `${line.slice(0, length)}…` : line;
}

/** A message as JSON tells it. */
export function messageJson(message: FoundMessage): object {
  const { body, ...fields } = message;
  const { text, base64 } = bodyText(body);
  return { ...fields, ...(text === null ? { bodyBase64: base64 } : { body: text }) };
}

/** A message as lines of text, names in front. */
export function messageLines(message: FoundMessage): readonly string[] {
  const { text, base64 } = bodyText(message.body);
  const placed = message.offsetMessageId !== '';
  const rows: (readonly [string, string])[] = [
    ['message id', message.messageId],
    ['offset id', placed ? message.offsetMessageId : '-'],
    ['state', STATES[message.state] ?? message.state],
    ['topic', message.topic],
    [
      'place',
      placed
        ? `broker group ${message.brokerGroup}, queue ${message.queueId}, offset ${message.queueOffset}, position ${message.position}`
        : `broker group ${message.brokerGroup}, position ${message.position}`,
    ],
    ['born', `${timeText(message.bornTimestamp)} at ${message.bornHost}`],
    ['stored', `${timeText(message.storeTimestamp)} at ${message.storeHost}`],
  ];
  if (message.dueTimestamp > 0) rows.push(['delivery time', timeText(message.dueTimestamp)]);
  if (message.tag !== '') rows.push(['tag', message.tag]);
  if (message.keys.length > 0) rows.push(['keys', message.keys.join(', ')]);
  if (message.messageGroup !== '') rows.push(['message group', message.messageGroup]);
  for (const [name, value] of Object.entries(message.userProperties))
    rows.push([`property ${name}`, value]);
  const cut = message.bodyComplete || message.body.length === 0 ? '' : ', the beginning only';
  rows.push([`body`, `${message.bodySize} bytes${cut}${text === null ? ', Base64' : ''}`]);
  const width = Math.max(...rows.map(([name]) => printable(name).length));
  const lines = rows.map(
    ([name, value]) => `${printable(name).padEnd(width)}  ${printable(value)}`,
  );
  if (message.body.length > 0) lines.push('', printable(text ?? base64));
  return lines;
}

const STATES: Readonly<Record<string, string>> = {
  VISIBLE: 'in its queue',
  HIDDEN: 'not in a queue: its topic was deleted',
  TIMER: 'waits for its delivery time',
  TIMER_OVER: 'waited for its delivery time, and was delivered or recalled',
  HALF: 'half: waits for the end of its transaction',
  HALF_OVER: 'half: its transaction was committed or rolled back',
};

/** Said when part of the log could not be searched; null when all was. */
export function missingNote(missingBytes: number): string | null {
  if (missingBytes === 0) return null;
  return `${missingBytes} bytes of the log could not be searched: their index is being made again, try again in a while`;
}
