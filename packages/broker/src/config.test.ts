import { describe, expect, it } from '@jest/globals';
import { loadConfig, readCommandLine } from '@raftmq/base';
import { brokerSettings, checkBrokerSettings } from './settings.js';
import {
  advertisedHost,
  checkNodeSettings,
  joinHostPort,
  nodeSettings,
  parsePeers,
  splitHostPort,
} from './config.js';

const three = ['0@a:1@a:2', '1@b:1@b:2', '2@[::1]:1@[::1]:2'];
const settings = (flags: Record<string, string>) => loadConfig(nodeSettings, { flags });

describe('peers', () => {
  it('reads names, IPv4 and bracketed IPv6 addresses, ascending by id', () => {
    expect(parsePeers(['2@[::1]:10@h:11', '0@10.0.0.1:12@x.y:13', '1@b:1@b:2'], 0)).toEqual([
      { nodeId: 0, raftHost: '10.0.0.1', raftPort: 12, grpcHost: 'x.y', grpcPort: 13 },
      { nodeId: 1, raftHost: 'b', raftPort: 1, grpcHost: 'b', grpcPort: 2 },
      { nodeId: 2, raftHost: '::1', raftPort: 10, grpcHost: 'h', grpcPort: 11 },
    ]);
  });

  it.each([
    [['0@a:1'], 'must read id@'],
    [['0@a:1@b:0'], 'must read id@'],
    [['0@a:1@b:70000'], 'must read id@'],
    [['0@a:1@a:2', '0@b:1@b:2', '1@c:1@c:2'], 'lists node id 0 twice'],
    [['0@a:1@a:2', '1@a:1@b:2', '2@c:1@c:2'], 'raft address a:1 twice'],
    [['0@a:1@a:2', '1@b:1@a:2', '2@c:1@c:2'], 'gRPC address a:2 twice'],
    [['0@a:1@a:2', '1@b:1@b:2'], '2 replicas'],
    [['1@a:1@a:2'], 'does not list this replica'],
  ])('refuses %j', (items, reason) => {
    expect(() => parsePeers(items, 0)).toThrow(reason);
  });

  it('writes and reads addresses the same way', () => {
    for (const address of ['a.b:1', '[::1]:65535', '10.1.2.3:80']) {
      const { host, port } = splitHostPort(address)!;
      expect(joinHostPort(host, port)).toBe(address);
    }
    expect(splitHostPort('nohost')).toBeNull();
    expect(splitHostPort('a:b:1')).toBeNull();
  });
});

describe('cross-field checks', () => {
  it.each([
    [{ brokerRole: 'ASYNC' }, 'SYNC_DOUBLE_WRITE'],
    [{ tlsCertFile: 'x.pem' }, 'together'],
    [{ diskWarnPercent: '95' }, 'diskRefusePercent'],
    [{ grpcPort: '5', metricsPort: '5' }, 'must differ'],
    [{ namesrvAddr: 'nonsense' }, 'host:port'],
    [{ peers: '0@a:1@a:2;1@b:1@b:2' }, '1, 3 or 5'],
  ])('refuses %j', (flags, reason) => {
    expect(() => checkNodeSettings(settings(flags as Record<string, string>))).toThrow(reason);
  });

  it('accepts the defaults, and a group of three', () => {
    expect(() => checkNodeSettings(settings({}))).not.toThrow();
    expect(() => checkNodeSettings(settings({ peers: three.join(';') }))).not.toThrow();
  });

  it('advertises what is set, then its line in peers, then a real listening address', () => {
    const peers = parsePeers(three, 1);
    expect(advertisedHost(settings({ advertisedHost: 'pub' }), peers)).toBe('pub');
    expect(advertisedHost(settings({ nodeId: '1' }), peers)).toBe('b');
    expect(advertisedHost(settings({ host: '127.0.0.1' }), [])).toBe('127.0.0.1');
    expect(advertisedHost(settings({}), [])).not.toBe('0.0.0.0');
  });
});

describe('the whole table', () => {
  const read = (...argv: string[]) =>
    readCommandLine('raftmq broker', brokerSettings, argv, { NAMESRV_ADDR: 'n:1;m:2' });

  it('takes flags for settings of the broker and of its parts', () => {
    const result = read('--grpc-port', '0', '--auto-create-topic', '--flush-disk-type=ASYNC_FLUSH');
    expect(result.kind === 'run' && result.settings).toMatchObject({
      grpcPort: 0,
      autoCreateTopic: true,
      flushDiskType: 'ASYNC_FLUSH',
      namesrvAddr: ['n:1', 'm:2'],
    });
  });

  it('checks what the settings of a part say together', () => {
    const settings = loadConfig(brokerSettings, { flags: { leaseMs: '1500' } });
    expect(() => checkBrokerSettings(settings)).toThrow('leaseMs');
  });

  it('has a help text for every setting', () => {
    const help = read('--help');
    for (const name of ['--grpc-port', 'RAFTMQ_SEGMENT_SIZE_BYTES', 'NAMESRV_ADDR']) {
      expect(help.kind === 'print' && help.text).toContain(name);
    }
  });
});
