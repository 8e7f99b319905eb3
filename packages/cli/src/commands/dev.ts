import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Command, type CommandContext } from '../command.js';
import { type ClusterPlan, planCluster } from '../dev/plan.js';
import { loopbackPortIsFree, PortAllocator } from '../dev/ports.js';
import { clusterServes } from '../dev/readiness.js';
import { ClusterStartError, Supervisor } from '../dev/supervisor.js';
import { LAUNCHER } from '../launcher.js';

/** `raftmq dev`. */
export const devCommand: Command = {
  name: 'dev',
  summary: 'Runs a whole cluster on this machine, one process per node, until Ctrl-C.',
  positionals: [],
  options: {
    groups: { value: 'N', doc: 'broker groups', default: '1' },
    replicas: { value: 'N', doc: 'replicas per group: 1, 3 or 5', default: '3' },
    data: { value: 'DIR', doc: 'data directory; without it a temporary one, removed at the end' },
    'grpc-port': { value: 'PORT', doc: 'first gRPC port; 0 = any free ports', default: '8081' },
    'namesrv-port': { value: 'PORT', doc: 'port of the NameServer; 0 = any', default: '9876' },
    'ready-file': {
      value: 'FILE',
      doc: 'written when the cluster serves, and again when a process id changes',
    },
    quickstart: { doc: 'then send and receive 1000 messages' },
    once: { doc: 'with --quickstart: stop after it' },
    'no-restart': { doc: 'leave a node down that ended' },
    set: { value: 'NAME=VALUE', doc: 'a setting of all brokers', multiple: true },
  },
  notes: [
    'Ports that are taken are passed over: each node gets the next free block. The other defaults are',
    '10911 classic remoting, 10912 Raft and 5557 metrics; with --grpc-port 0 they are any ports, too.',
    'Logs are in DIR/logs. `raftmq broker --help` lists the settings for --set.',
  ],
  run: runDev,
};

async function runDev(context: CommandContext): Promise<number> {
  const { options, output, signal } = context;
  const replicas = Number(options.choice('replicas', ['1', '3', '5']));
  const temporary = !options.has('data');
  const dataDir = temporary
    ? mkdtempSync(join(tmpdir(), 'raftmq-dev-'))
    : resolve(options.text('data'));
  mkdirSync(dataDir, { recursive: true });
  const startedAt = performance.now();
  const plan = await planCluster(
    {
      groups: options.integer('groups', 1, 64),
      replicas,
      dataDir,
      grpcPort: options.integer('grpc-port', 0, 65_535),
      namesrvPort: options.integer('namesrv-port', 0, 65_535),
      settings: options.list('set'),
    },
    new PortAllocator(loopbackPortIsFree, Math.random),
  );
  const supervisor = new Supervisor({
    launcher: LAUNCHER,
    variables: context.variables,
    plan,
    readyFile: options.has('ready-file') ? resolve(options.text('ready-file')) : '',
    restart: !options.flag('no-restart'),
    output,
    serves: clusterServes,
  });
  let failed = false;
  let exitCode = 0;
  try {
    await supervisor.start(signal);
    if (!signal.aborted) {
      for (const line of summary(plan, dataDir, performance.now() - startedAt)) output.data(line);
      if (options.flag('quickstart')) exitCode = await runQuickstart(plan, signal);
      if (!options.flag('once')) {
        output.data('Ctrl-C stops all nodes.');
        await aborted(signal);
      }
    }
    output.note('stopping all nodes');
  } catch (error) {
    failed = true;
    if (!(error instanceof ClusterStartError)) throw error;
    output.note(`raftmq dev: ${error.message}`);
  } finally {
    await supervisor.stop();
    if (temporary && !failed) rmSync(dataDir, { recursive: true, force: true });
  }
  return failed ? 1 : exitCode;
}

/** In a process of its own: the supervisor stays small, and its event loop free. */
function runQuickstart(plan: ClusterPlan, signal: AbortSignal): Promise<number> {
  const endpoints = plan.brokers.map((broker) => broker.grpc).join(';');
  const child = spawn(process.execPath, [LAUNCHER, 'quickstart', '--endpoints', endpoints], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const stop = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  return new Promise((done, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => {
      signal.removeEventListener('abort', stop);
      done(code ?? 1);
    });
  });
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((done) => signal.addEventListener('abort', () => done(), { once: true }));
}

function summary(plan: ClusterPlan, dataDir: string, tookMs: number): readonly string[] {
  const endpoints = plan.brokers.map((broker) => broker.grpc).join(';');
  const first = plan.brokers[0]!.grpc;
  return [
    `RaftMQ serves after ${(tookMs / 1000).toFixed(1)} s: ${plan.brokers.length} brokers, 1 NameServer.`,
    '',
    `  endpoints  ${endpoints}`,
    `  namesrv    ${plan.namesrv.grpc}`,
    `  metrics    ${plan.brokers.map((broker) => `http://${broker.metrics}/metrics`).join(' ')}`,
    `  data       ${dataDir}`,
    '',
    'The first message, with this tool:',
    `  npx raftmq quickstart producer --endpoints '${endpoints}' --count 1`,
    `  npx raftmq quickstart consumer --endpoints '${endpoints}' --count 1`,
    'and with the official SDK (npm install rocketmq-client-nodejs):',
    `  const { Producer } = require('rocketmq-client-nodejs');`,
    `  const producer = new Producer({ endpoints: '${first}' });`,
    `  await producer.startup();`,
    `  await producer.send({ topic: 'TopicTest', body: Buffer.from('hello') });`,
    '',
  ];
}
