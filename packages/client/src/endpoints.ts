import { isIP } from 'node:net';
import { MqError } from '@raftmq/base';
import { addressScheme, type Endpoints } from '@raftmq/protocol';

/**
 * Reads `host:port;host:port`. IPv6 hosts stand in brackets. An `ipv4:` or `ipv6:` in front of a host is dropped.
 * @throws MqError CONFIG_INVALID naming the part that is no address
 */
export function parseEndpoints(text: string): Endpoints {
  const parts = text
    .split(/[;,]/)
    .map((part) => part.trim())
    .filter((part) => part !== '');
  if (parts.length === 0) {
    throw new MqError('CONFIG_INVALID', 'endpoints are empty; write them as host:port;host:port');
  }
  const addresses = parts.map((part) => parseAddress(part));
  const kinds = new Set(addresses.map(({ host }) => isIP(host)));
  const scheme = kinds.has(0)
    ? addressScheme.DOMAIN_NAME
    : kinds.has(6)
      ? addressScheme.IPV6
      : addressScheme.IPV4;
  return { scheme, addresses };
}

function parseAddress(text: string): { host: string; port: number } {
  const match = /^(?:https?:\/\/|ipv[46]:)?(\[[^\]]+\]|[^:[\]/]+):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port < 1 || port > 65_535) {
    throw new MqError('CONFIG_INVALID', `"${text}" is no address; write host:port, or [ipv6]:port`);
  }
  return { host: match[1]!.replace(/^\[|\]$/g, ''), port };
}

/** The addresses as a channel wants them, `host:port`, in the server's order. */
export function addressesOf(endpoints: Endpoints): readonly string[] {
  return endpoints.addresses.map(({ host, port }) => {
    const plain = host.replace(/^ipv[46]:/, '').replace(/^\[|\]$/g, '');
    return plain.includes(':') ? `[${plain}]:${port}` : `${plain}:${port}`;
  });
}
