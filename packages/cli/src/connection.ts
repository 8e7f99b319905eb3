import { AdminClient } from '@raftmq/client';
import { type OptionTable, type ParsedOptions } from './command.js';

const DEFAULT_NAMESRV = '127.0.0.1:9876';

/** Flags of commands that administrate a cluster. */
export const ADMIN_OPTIONS: OptionTable = {
  namesrv: {
    value: 'ADDRESSES',
    doc: `NameServers, host:port;host:port (${DEFAULT_NAMESRV} when nothing is given)`,
    env: ['RAFTMQ_NAMESRV', 'NAMESRV_ADDR'],
  },
  endpoints: {
    value: 'ADDRESSES',
    doc: 'brokers, host:port;host:port; wins over --namesrv',
    env: ['RAFTMQ_ENDPOINTS'],
  },
  tls: { doc: 'connect with TLS; any certificate is accepted' },
};

/** Flags of commands that send or receive. */
export const CLIENT_OPTIONS: OptionTable = {
  endpoints: {
    value: 'ADDRESSES',
    doc: 'brokers, host:port;host:port',
    default: '127.0.0.1:8081',
    env: ['RAFTMQ_ENDPOINTS'],
  },
  tls: { doc: 'connect with TLS; any certificate is accepted' },
};

/** TLS as the flag `--tls` asks for it. */
export function tlsOf(options: ParsedOptions): { readonly verify: boolean } | null {
  return options.flag('tls') ? { verify: false } : null;
}

/** Runs `work` with an administration client and closes it. */
export async function withAdmin<T>(
  options: ParsedOptions,
  work: (admin: AdminClient) => Promise<T>,
): Promise<T> {
  const endpoints = options.text('endpoints');
  const namesrv = options.text('namesrv');
  const admin = new AdminClient({
    ...(endpoints === '' ? { namesrv: namesrv === '' ? DEFAULT_NAMESRV : namesrv } : { endpoints }),
    tls: tlsOf(options),
  });
  try {
    return await work(admin);
  } finally {
    admin.close();
  }
}
