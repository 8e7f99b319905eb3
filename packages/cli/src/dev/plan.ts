import { join } from 'node:path';
import { MqError } from '@raftmq/base';
import { type BrokerPorts, type PortAllocator } from './ports.js';

/** What `raftmq dev` was asked for. */
export interface DevOptions {
  readonly groups: number;
  readonly replicas: number;
  readonly dataDir: string;
  /** First gRPC port; 0 = any. */
  readonly grpcPort: number;
  /** Port of the NameServer; 0 = any. */
  readonly namesrvPort: number;
  /** Further broker settings, `name=value`. */
  readonly settings: readonly string[];
}

/** One process of the cluster: what it is, where it listens, and how it is started. */
export interface NodePlan {
  readonly kind: 'namesrv' | 'broker';
  /** '' for a NameServer. */
  readonly group: string;
  readonly id: number;
  /** Name for people and for the log file. */
  readonly name: string;
  readonly grpc: string;
  /** '' when the node does not listen there. */
  readonly remoting: string;
  readonly metrics: string;
  readonly dataDir: string;
  readonly logFile: string;
  /** Words behind `raftmq`. */
  readonly args: readonly string[];
}

export interface ClusterPlan {
  readonly namesrv: NodePlan;
  readonly brokers: readonly NodePlan[];
}

const HOST = '127.0.0.1';

/**
 * Decides names, ports, directories and command lines of all nodes.
 * @throws MqError CONFIG_INVALID when ports run out or a setting is not `name=value`
 */
export async function planCluster(options: DevOptions, ports: PortAllocator): Promise<ClusterPlan> {
  const anyPorts = options.grpcPort === 0;
  const namesrvPort = await ports.next(options.namesrvPort);
  const groups: { readonly group: string; readonly ports: readonly BrokerPorts[] }[] = [];
  for (let g = 0; g < options.groups; g++) {
    const blocks: BrokerPorts[] = [];
    for (let id = 0; id < options.replicas; id++) {
      blocks.push(await ports.brokerPorts(options.grpcPort));
    }
    groups.push({ group: groupName(g), ports: blocks });
  }
  const namesrv = namesrvPlan(options, namesrvPort, await ports.metricsPort(anyPorts));
  const extra = settingFlags(options.settings);
  const brokers = groups.flatMap(({ group, ports: blocks }) =>
    blocks.map((_, id) => brokerPlan(options, { group, id, blocks, namesrv: namesrv.grpc, extra })),
  );
  return { namesrv, brokers };
}

/** `broker-a` … `broker-z`, then `broker-26` and so on. */
function groupName(index: number): string {
  return `broker-${index < 26 ? String.fromCharCode(97 + index) : index}`;
}

function namesrvPlan(options: DevOptions, port: number, metricsPort: number): NodePlan {
  return {
    kind: 'namesrv',
    group: '',
    id: 0,
    name: 'namesrv',
    grpc: `${HOST}:${port}`,
    remoting: '',
    metrics: `${HOST}:${metricsPort}`,
    dataDir: '',
    logFile: join(options.dataDir, 'logs', 'namesrv.log'),
    args: ['namesrv', '--host', HOST, '--port', `${port}`, '--metrics-port', `${metricsPort}`],
  };
}

interface BrokerPlace {
  readonly group: string;
  readonly id: number;
  /** Ports of all replicas of the group, by node id. */
  readonly blocks: readonly BrokerPorts[];
  /** Address of the NameServer. */
  readonly namesrv: string;
  readonly extra: readonly string[];
}

function brokerPlan(options: DevOptions, place: BrokerPlace): NodePlan {
  const { group, id, blocks } = place;
  const own = blocks[id]!;
  const name = `${group}-${id}`;
  const dataDir = join(options.dataDir, name);
  const peers = blocks
    .map((block, peer) => `${peer}@${HOST}:${block.raft}@${HOST}:${block.grpc}`)
    .join(';');
  return {
    kind: 'broker',
    group,
    id,
    name,
    grpc: `${HOST}:${own.grpc}`,
    remoting: `${HOST}:${own.remoting}`,
    metrics: `${HOST}:${own.metrics}`,
    dataDir,
    logFile: join(options.dataDir, 'logs', `${name}.log`),
    args: [
      'broker',
      ...['--group', group],
      ...['--node-id', `${id}`],
      ...['--peers', peers],
      ...['--data-dir', dataDir],
      ...['--host', HOST],
      ...['--advertised-host', HOST],
      ...['--grpc-port', `${own.grpc}`],
      ...['--remoting-port', `${own.remoting}`],
      ...['--raft-port', `${own.raft}`],
      ...['--metrics-port', `${own.metrics}`],
      ...['--namesrv-addr', place.namesrv],
      ...['--auto-create-topic', 'true'],
      ...place.extra,
    ],
  };
}

/** `flushDiskType=ASYNC_FLUSH` becomes `--flush-disk-type ASYNC_FLUSH`. */
function settingFlags(settings: readonly string[]): readonly string[] {
  return settings.flatMap((setting) => {
    const at = setting.indexOf('=');
    if (at < 1) throw new MqError('CONFIG_INVALID', `--set ${setting}: write it as name=value`);
    const flag = setting.slice(0, at).replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    return [`--${flag}`, setting.slice(at + 1)];
  });
}
