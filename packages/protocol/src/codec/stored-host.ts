import { isIPv4, isIPv6 } from 'node:net';
import { MqError } from '@raftmq/base';

/** An address as it lies in a record: 4 or 16 bytes of IP, then the port as a 32-bit number. */
export interface StoredHost {
  /** 8 bytes, or 20 with IPv6. */
  readonly bytes: Buffer;
  readonly ipv6: boolean;
}

/** 0.0.0.0:0, for "not known". */
export const UNKNOWN_HOST: StoredHost = { bytes: Buffer.alloc(8), ipv6: false };

/**
 * Reads `1.2.3.4:10911` or `[::1]:10911`.
 *
 * @throws MqError BAD_REQUEST when it is no literal address with a port from 0 to 65535
 */
export function parseStoredHost(text: string): StoredHost {
  const colon = text.lastIndexOf(':');
  const portText = text.slice(colon + 1);
  const port = Number(portText);
  if (colon > 0 && /^\d{1,5}$/.test(portText) && port <= 65_535) {
    const host = text.slice(0, colon);
    if (isIPv4(host)) return hostOf(host.split('.').map(Number), port, false);
    const inner = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : '';
    if (isIPv6(inner) && !inner.includes('%')) return hostOf(ipv6Bytes(inner), port, true);
  }
  throw new MqError('BAD_REQUEST', `"${text}" is no address: write 1.2.3.4:10911 or [::1]:10911`);
}

function hostOf(ip: readonly number[], port: number, ipv6: boolean): StoredHost {
  const bytes = Buffer.from([...ip, 0, 0, port >>> 8, port & 0xff]);
  return { bytes, ipv6 };
}

function ipv6Bytes(text: string): number[] {
  let groups = text;
  const lastColon = text.lastIndexOf(':');
  const tail = text.slice(lastColon + 1);
  if (tail.includes('.')) {
    const [a, b, c, d] = tail.split('.').map(Number) as [number, number, number, number];
    groups = `${text.slice(0, lastColon + 1)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const [left, right] = groups.split('::');
  const head = left === '' ? [] : left!.split(':');
  const rest = right === undefined || right === '' ? [] : right.split(':');
  const zeros = right === undefined ? 0 : 8 - head.length - rest.length;
  const all = [...head, ...new Array<string>(zeros).fill('0'), ...rest].map((group) =>
    parseInt(group, 16),
  );
  return all.flatMap((group) => [group >>> 8, group & 0xff]);
}

/**
 * Reads an IPv4 address with a port, only when it is written exactly as {@link formatStoredHost} would write it.
 * Cheap for host names, which is what most clients send.
 */
export function canonicalIpv4Host(text: string): StoredHost | null {
  const first = text.charCodeAt(0);
  if (!(first >= 0x30 && first <= 0x39) || text.length > 21) return null;
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3}):(\d{1,5})$/.exec(text);
  if (match === null) return null;
  const port = Number(match[5]);
  const ip = [Number(match[1]), Number(match[2]), Number(match[3]), Number(match[4])];
  if (port > 65_535 || ip.some((part) => part > 255)) return null;
  const host = hostOf(ip, port, false);
  return formatStoredHost(host.bytes, 0, false) === text ? host : null;
}

/** Writes the address that starts at `bytes[at]` as `1.2.3.4:10911` or `[0:0:0:0:0:0:0:1]:10911`. */
export function formatStoredHost(bytes: Buffer, at: number, ipv6: boolean): string {
  if (!ipv6)
    return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}:${bytes.readUInt32BE(at + 4)}`;
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(bytes.readUInt16BE(at + i).toString(16));
  return `[${groups.join(':')}]:${bytes.readUInt32BE(at + 16)}`;
}
