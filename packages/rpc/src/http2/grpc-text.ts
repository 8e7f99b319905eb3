/* The texts of gRPC's header fields: content types, timeouts and messages. */

const GRPC_TYPE = 'application/grpc';

/** `application/grpc`, with or without a subtype such as `+proto`, or parameters. */
export function isGrpcType(contentType: string): boolean {
  if (contentType === GRPC_TYPE) return true;
  if (!contentType.startsWith(GRPC_TYPE)) return false;
  const next = contentType[GRPC_TYPE.length];
  return next === '+' || next === ';';
}

const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};
const TIMEOUT = /^([0-9]{1,8})([HMSmun])$/;
/** A longer time than any timer of ours can wait is no limit: the Java client asks for centuries on its Telemetry. */
const TIMEOUT_MAX_MS = 2 ** 31 - 1;

/** Milliseconds of a `grpc-timeout`; Infinity when it is as good as none; NaN when it is not one. */
export function parseTimeoutMs(value: string): number {
  const match = TIMEOUT.exec(value);
  if (match === null) return NaN;
  const timeoutMs = Number(match[1]) * UNIT_MS[match[2]!]!;
  return timeoutMs > TIMEOUT_MAX_MS ? Infinity : timeoutMs;
}

/** A `grpc-timeout` of at most eight digits; rounded up, so that the server does not give up first. */
export function formatTimeout(timeoutMs: number): string {
  const wholeMs = Math.max(0, Math.ceil(timeoutMs));
  if (wholeMs < 1e8) return `${wholeMs}m`;
  return `${Math.min(99_999_999, Math.ceil(wholeMs / 1000))}S`;
}

const PLAIN_TEXT = /^[ !-$&-~]*$/;

/** Text as `grpc-message` carries it: UTF-8, with `%XX` for what is not printable ASCII and for the percent sign. */
export function encodeGrpcMessage(text: string): string {
  if (PLAIN_TEXT.test(text)) return text;
  let encoded = '';
  for (const byte of Buffer.from(text, 'utf8')) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += plain
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}

/** The opposite; a `%` that begins no such pair is taken as it is, as gRPC asks for. */
export function decodeGrpcMessage(value: string): string {
  if (!value.includes('%')) return value;
  const bytes: number[] = [];
  for (let i = 0; i < value.length; i++) {
    const pair = value.slice(i + 1, i + 3);
    if (value[i] === '%' && /^[0-9a-fA-F]{2}$/.test(pair)) {
      bytes.push(parseInt(pair, 16));
      i += 2;
    } else {
      bytes.push(value.charCodeAt(i) & 0xff);
    }
  }
  return Buffer.from(bytes).toString('utf8');
}
