/** Property by which a sender says how long a message is worth reading; ours, RocketMQ has none. */
export const TTL_PROPERTY = 'RAFTMQ_TTL';

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const TTL = /^([0-9]{1,9})(ms|s|m|h|d)$/;

/** Milliseconds of a time to live such as `500ms`, `2s`, `5m`, `1h` or `7d`; null when it is none. */
export function parseTtlMs(text: string): number | null {
  const match = TTL.exec(text);
  return match === null ? null : Number(match[1]) * UNIT_MS[match[2]!]!;
}
