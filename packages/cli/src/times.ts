const UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** A duration with its unit, `500ms`, `30s`, `5m`, `2h`, `7d`; null when the text is none. */
export function durationMsOf(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  return match === null ? null : Math.round(Number(match[1]) * UNITS_MS[match[2]!]!);
}

/**
 * A point in time: ISO 8601 (`2026-01-31T12:00:00Z`; without a zone, this machine's), `@` and Unix milliseconds, or a
 * duration before `nowMs` (`30m`, also `-30m`). Null when the text is none of them; a bare number is none.
 */
export function timeOf(text: string, nowMs: number): number | null {
  const ago = durationMsOf(text.replace(/^-/, ''));
  if (ago !== null) return Math.max(0, nowMs - ago);
  const exact = /^@(\d{1,15})$/.exec(text);
  if (exact !== null) return Number(exact[1]);
  if (!/^\d{4}-\d{2}-\d{2}/.test(text)) return null;
  const timeMs = Date.parse(text);
  return Number.isNaN(timeMs) || timeMs < 0 ? null : timeMs;
}
