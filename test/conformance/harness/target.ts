import { spawnSync } from 'node:child_process';
import { AdminClient } from '@raftmq/client';
import { DevCluster } from '@raftmq/testkit';
import { type Scenario } from './scenarios.js';

/** The cluster that the programs run against. */
export interface Target {
  /** `host:port;host:port`; SDKs that take one address get that of another broker for each `turn`. */
  endpoints(singleAddress: boolean, turn: number): string;
  /** Creates what a scenario needs. */
  prepare(scenario: Scenario, topic: string, group: string): Promise<void>;
  /** Kills the leader that {@link aim} found; null when this target is not ours to kill. */
  readonly killer: LeaderKiller | null;
  stop(): Promise<void>;
}

export interface LeaderKiller {
  /** Finds out who leads now, so that the kill itself takes no time. */
  aim(): Promise<void>;
  kill(): Promise<void>;
  /** Waits until all replicas are up again. */
  recover(): Promise<void>;
}

/** Names that a scenario needs, in each of its namespaces. */
function names(scenario: Scenario, base: string, suffixes: readonly string[]): string[] {
  return (scenario.namespaces ?? ['']).flatMap((namespace) =>
    suffixes.map((suffix) => `${namespace === '' ? '' : `${namespace}%`}${base}${suffix}`),
  );
}

/** Half messages are asked about soon, so that a test need not wait for long; a topic that is not there stays so. */
const SETTINGS = [
  'transactionCheckFirstMs=3s',
  'transactionCheckIntervalMs=2s',
  'autoCreateTopic=false',
];

/** A cluster of three replicas on this machine. */
export async function ownCluster(): Promise<Target> {
  const cluster = await DevCluster.start({ set: SETTINGS });
  const admin = new AdminClient({ endpoints: cluster.endpoints });
  let leader: Awaited<ReturnType<DevCluster['leader']>>;
  return {
    endpoints: (singleAddress, turn) =>
      singleAddress ? cluster.endpointOf(turn % 3) : cluster.endpoints,
    prepare: async (scenario, topic, group) => {
      for (const name of names(scenario, topic, scenario.topics ?? ['']))
        await admin.putTopic({ name, type: scenario.topicType, queues: 8, permission: 6 }, false);
      for (const { suffix, fifo = false, maxAttempts = 17 } of scenario.groups)
        for (const name of names(scenario, group, [suffix]))
          await admin.putGroup({ name, fifo, maxAttempts }, false);
    },
    killer: {
      aim: async () => {
        leader = await cluster.leader();
      },
      kill: () => cluster.kill(leader),
      recover: () => cluster.allUp(),
    },
    stop: async () => {
      admin.close();
      await cluster.stop();
    },
  };
}

/**
 * Another server that speaks the protocol, for comparison: `RAFTMQ_TEST_ENDPOINTS` names it, `RAFTMQ_TEST_ADMIN` is a
 * command that is run as `topic NAME TYPE` and `group NAME fifo|plain MAX_ATTEMPTS`.
 */
function otherServer(endpoints: string, adminCommand: string): Target {
  const admin = (...args: string[]): void => {
    const done = spawnSync(adminCommand, args, { encoding: 'utf8' });
    if (done.status !== 0) throw new Error(`${adminCommand} ${args.join(' ')}: ${done.stderr}`);
  };
  return {
    endpoints: () => endpoints,
    prepare: async (scenario, topic, group) => {
      for (const name of names(scenario, topic, scenario.topics ?? ['']))
        admin('topic', name, scenario.topicType);
      for (const { suffix, fifo = false, maxAttempts = 17 } of scenario.groups)
        for (const name of names(scenario, group, [suffix]))
          admin('group', name, fifo ? 'fifo' : 'plain', String(maxAttempts));
    },
    killer: null,
    stop: async () => {},
  };
}

/** The target of this run: a new cluster of ours unless the environment names another. */
export function openTarget(): Promise<Target> {
  const endpoints = process.env['RAFTMQ_TEST_ENDPOINTS'];
  if (endpoints === undefined) return ownCluster();
  return Promise.resolve(otherServer(endpoints, process.env['RAFTMQ_TEST_ADMIN'] ?? 'true'));
}
