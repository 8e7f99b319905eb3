import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Output } from '../output.js';
import { type ClusterPlan, planCluster } from './plan.js';
import { PortAllocator } from './ports.js';
import { ClusterStartError, Supervisor, type SupervisorOptions } from './supervisor.js';

/** A node that leaves a file when it is up and when it stops cleanly; node 1 may be told to fail. */
const FAKE_NODE = `
const { mkdirSync, writeFileSync, existsSync } = require('node:fs');
const { join } = require('node:path');
const [kind, ...args] = process.argv.slice(2);
const at = args.indexOf('--data-dir');
const directory = at < 0 ? process.env.FAKE_NAMESRV_DIR : args[at + 1];
mkdirSync(directory, { recursive: true });
console.log('fake ' + kind + ' starts');
if (existsSync(join(directory, 'fail'))) { console.error('fake failure: no such thing'); process.exit(3); }
process.on('SIGTERM', () => {
  if (existsSync(join(directory, 'stubborn'))) return;
  writeFileSync(join(directory, 'stopped'), '');
  process.exit(0);
});
const { MALLOC_ARENA_MAX: arenas, MALLOC_MMAP_THRESHOLD_: mapped, MALLOC_TRIM_THRESHOLD_: kept } = process.env;
writeFileSync(join(directory, 'malloc'), [arenas, mapped, kept].join(' '));
writeFileSync(join(directory, 'up'), String(process.pid));
process.stdin.on('close', () => process.exit(0)).resume();
setTimeout(() => process.exit(4), 60_000);
`;

let directory: string;
let notes: string[];
let supervisor: Supervisor | null;
const output: Output = { data: () => undefined, note: (line) => notes.push(line) };

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'raftmq-supervisor-'));
  notes = [];
  supervisor = null;
  writeFileSync(join(directory, 'launcher.js'), FAKE_NODE);
});

afterEach(async () => {
  await supervisor?.stop();
  rmSync(directory, { recursive: true, force: true });
});

async function plan(replicas: number): Promise<ClusterPlan> {
  return planCluster(
    { groups: 1, replicas, dataDir: directory, grpcPort: 8081, namesrvPort: 9876, settings: [] },
    new PortAllocator(
      () => Promise.resolve(true),
      () => 0.5,
    ),
  );
}

async function makeSupervisor(
  changes: Partial<SupervisorOptions> & { replicas?: number } = {},
): Promise<Supervisor> {
  const cluster = await plan(changes.replicas ?? 1);
  supervisor = new Supervisor({
    launcher: join(directory, 'launcher.js'),
    variables: { FAKE_NAMESRV_DIR: join(directory, 'namesrv') },
    plan: cluster,
    readyFile: join(directory, 'ready.json'),
    restart: true,
    output,
    serves: async () =>
      [join(directory, 'namesrv'), ...cluster.brokers.map((broker) => broker.dataDir)].every(
        (nodeDirectory) => existsSync(join(nodeDirectory, 'up')),
      ),
    ...changes,
    timing: { probeMs: 5, restartDelayMs: 5, stopDeadlineMs: 5_000, ...changes.timing },
  });
  return supervisor;
}

interface ReadyFile {
  namesrv: string[];
  endpoints: string;
  nodes: { kind: string; group: string; id: number; pid: number; dataDir: string }[];
}

const readyFile = (): ReadyFile =>
  JSON.parse(readFileSync(join(directory, 'ready.json'), 'utf8')) as ReadyFile;

async function until(condition: () => boolean): Promise<void> {
  const endsAt = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > endsAt) throw new Error('condition not met in time');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const never = new AbortController().signal;

describe('Supervisor', () => {
  test('starts all nodes, writes the ready file, stops them cleanly', async () => {
    const cluster = await makeSupervisor({ replicas: 3 });
    await cluster.start(never);
    const file = readyFile();
    expect(Object.keys(file)).toEqual(['namesrv', 'endpoints', 'nodes']);
    expect(file.namesrv).toEqual(['127.0.0.1:9876']);
    expect(file.endpoints).toBe('127.0.0.1:8081;127.0.0.1:8082;127.0.0.1:8083');
    expect(file.nodes.map((node) => `${node.kind} ${node.group} ${node.id}`)).toEqual([
      'namesrv  0',
      'broker broker-a 0',
      'broker broker-a 1',
      'broker broker-a 2',
    ]);
    expect(Object.keys(file.nodes[1]!)).toEqual([
      'kind',
      'group',
      'id',
      'pid',
      'grpc',
      'remoting',
      'metrics',
      'dataDir',
    ]);
    for (const [i, node] of cluster.nodes.entries()) {
      expect(node.pid).toBe(file.nodes[i]!.pid);
      process.kill(node.pid, 0);
    }
    await cluster.stop();
    for (const node of file.nodes.slice(1)) {
      expect(existsSync(join(node.dataDir, 'stopped'))).toBe(true);
    }
    expect(() => process.kill(file.nodes[0]!.pid, 0)).toThrow('ESRCH');
  });

  test.each<[string, Record<string, string>, string]>([
    ['few malloc arenas without holes', {}, '2 131072 4194304'],
    ['what the environment asks for', { MALLOC_ARENA_MAX: '5' }, '5 131072 4194304'],
  ])('nodes get %s', async (_, given, settings) => {
    const variables = { FAKE_NAMESRV_DIR: join(directory, 'namesrv'), ...given };
    const cluster = await makeSupervisor({ variables });
    await cluster.start(never);
    const { dataDir } = cluster.nodes[1]!.plan;
    expect(readFileSync(join(dataDir, 'malloc'), 'utf8')).toBe(settings);
  });

  test('starts a killed node again and tells the new pid', async () => {
    const cluster = await makeSupervisor();
    await cluster.start(never);
    const before = readyFile().nodes[1]!.pid;
    process.kill(before, 'SIGKILL');
    await until(() => readyFile().nodes[1]!.pid !== before);
    const after = readyFile().nodes[1]!.pid;
    await until(() => readFileSync(join(directory, 'broker-a-0', 'up'), 'utf8') === String(after));
    expect(notes.some((note) => note.includes('SIGKILL'))).toBe(true);
  });

  test('leaves a killed node down when told so', async () => {
    const cluster = await makeSupervisor({ restart: false });
    await cluster.start(never);
    const before = readFileSync(join(directory, 'ready.json'), 'utf8');
    process.kill(cluster.nodes[1]!.pid, 'SIGKILL');
    await until(() => !cluster.nodes[1]!.running);
    expect(notes).toEqual([expect.stringContaining('it stays down')]);
    expect(readFileSync(join(directory, 'ready.json'), 'utf8')).toBe(before);
  });

  test('a node that fails to start fails the cluster, with its last words', async () => {
    const cluster = await makeSupervisor();
    mkdirSync(join(directory, 'broker-a-0'), { recursive: true });
    writeFileSync(join(directory, 'broker-a-0', 'fail'), '');
    const failure: unknown = await cluster.start(never).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ClusterStartError);
    expect((failure as ClusterStartError).message).toMatch(
      /broker-a-0 failed to start \(exit code 3\)[\s\S]*fake failure: no such thing/,
    );
    expect(existsSync(join(directory, 'ready.json'))).toBe(false);
  });

  test('gives up when the cluster never serves', async () => {
    const cluster = await makeSupervisor({
      serves: () => Promise.resolve(false),
      timing: { startDeadlineMs: 50 },
    });
    await expect(cluster.start(never)).rejects.toThrow('did not serve within 50 ms');
  });

  test('kills a node that does not stop in time', async () => {
    const cluster = await makeSupervisor({ timing: { stopDeadlineMs: 100 } });
    await cluster.start(never);
    writeFileSync(join(directory, 'broker-a-0', 'stubborn'), '');
    const { pid } = cluster.nodes[1]!;
    await cluster.stop();
    expect(notes).toEqual([expect.stringContaining('broker-a-0 did not stop within 100 ms')]);
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });

  test('a stop request during the start ends the wait', async () => {
    const controller = new AbortController();
    const cluster = await makeSupervisor({
      serves: () => {
        controller.abort();
        return Promise.resolve(false);
      },
    });
    await cluster.start(controller.signal);
    expect(existsSync(join(directory, 'ready.json'))).toBe(false);
  });
});
