import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, raftmq } from '@raftmq/testkit';

/* The built program as a process: its exit codes, its one line on stdout, its one line of complaint. */

const program = join(__dirname, '..', '..', 'packages', 'broker', 'bundle', 'main.js');
let directory: string;
const children = new Set<ChildProcess>();

beforeAll(async () => {
  if (!existsSync(program)) throw new Error(`${program} is missing: run npm run build first`);
  directory = await mkdtemp(join(tmpdir(), 'raftmq-process-'));
});

afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await rm(directory, { recursive: true, force: true });
});

interface Run {
  readonly child: ChildProcess;
  /** The first line on stdout. */
  readonly line: Promise<string>;
  readonly ended: Promise<{ code: number | null; stdout: string; complaint: string }>;
}

function run(...flags: string[]): Run {
  const child = spawn(process.execPath, [program, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  let stdout = '';
  let stderr = '';
  const line = new Promise<string>((resolve) => {
    child.stdout.on('data', (data: Buffer) => {
      stdout += data.toString();
      if (stdout.includes('\n')) resolve(stdout.slice(0, stdout.indexOf('\n')));
    });
  });
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
  const ended = new Promise<{ code: number | null; stdout: string; complaint: string }>((resolve) =>
    child.on('close', (code) => {
      children.delete(child);
      const complaint = stderr.split('\n').filter((text) => text.startsWith('raftmq broker: '));
      resolve({ code, stdout, complaint: complaint.join('\n') });
    }),
  );
  return { child, line, ended };
}

const serving = (name: string): string[] => [
  ...['--data-dir', join(directory, name), '--host', '127.0.0.1'],
  ...['--grpc-port', '0', '--metrics-port', '0', '--peers', '', '--log-level', 'error'],
];

test('it says when it serves, refuses a second process on its data, and stops with 0', async () => {
  const first = run(...serving('one'));
  const ready = JSON.parse(await first.line) as { ready: boolean; grpcPort: number; pid: number };
  expect(ready).toMatchObject({ ready: true, pid: first.child.pid });
  expect(ready.grpcPort).toBeGreaterThan(0);

  const second = await run(...serving('one')).ended;
  expect(second).toMatchObject({ code: 1, stdout: '' });
  expect(second.complaint).toContain(String(first.child.pid));

  first.child.kill('SIGTERM');
  expect(await first.ended).toMatchObject({ code: 0, complaint: '' });

  const stranger = await run(...serving('one'), '--group', 'broker-b').ended;
  expect(stranger.code).toBe(1);
  expect(stranger.complaint).toMatch(/broker-a.*broker-b/);
}, 30_000);

test('a taken port is one clear line and exit code 1', async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const { port } = taken.address() as AddressInfo;
  const result = await run(...serving('port'), '--grpc-port', String(port)).ended;
  await new Promise<void>((resolve) => taken.close(() => resolve()));
  expect(result.code).toBe(1);
  expect(result.complaint).toContain(String(port));
  expect(result.complaint.split('\n')).toHaveLength(1);
}, 30_000);

test.each([
  [['--grcp-port', '1'], 'did you mean "--grpc-port"'],
  [['--grpc-port', 'many'], 'must be a number'],
  [['--broker-role', 'ASYNC'], 'SYNC_DOUBLE_WRITE'],
  [['--peers', '0@a:1@a:2;1@b:1@b:2'], '1, 3 or 5'],
  [['--config', '/nowhere/at/all.json'], 'cannot read the config file'],
])(
  'wrong settings are one clear line and exit code 2: %j',
  async (flags, reason) => {
    const result = await run(...flags).ended;
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.complaint).toContain(reason);
  },
  30_000,
);

test('help and the effective settings go to stdout', async () => {
  const file = join(directory, 'config.json');
  await writeFile(file, JSON.stringify({ group: 'broker-z', namesrvAddr: ['n:1', 'm:2'] }));
  const printed = await run('--config', file, '--print-config').ended;
  expect(printed.code).toBe(0);
  expect(JSON.parse(printed.stdout)).toMatchObject({
    group: 'broker-z',
    namesrvAddr: ['n:1', 'm:2'],
  });
  const help = await run('--help').ended;
  expect([help.code, help.stdout.includes('--grpc-port')]).toEqual([0, true]);
}, 30_000);

test('a process whose disk fails says so to the next one, which takes it that entries are missing', async () => {
  const flags = ['--flush-disk-type', 'ASYNC_FLUSH', '--segment-size-bytes', '1MiB'];
  const first = run(...serving('failing'), ...flags);
  const { grpcPort } = JSON.parse(await first.line) as { grpcPort: number };
  const endpoint = ['--endpoints', `127.0.0.1:${grpcPort}`];
  // Without its directory the log cannot begin its next segment.
  const log = join(directory, 'failing', 'commitlog');
  await rename(log, `${log}-away`);
  const load = ['--size', '4096', '--batch', '50', '--concurrency', '2', '--duration', '3s'];
  await raftmq(['topic', 'create', 'Failing', ...endpoint], 20_000);
  await raftmq(['bench', 'produce', '--topic', 'Failing', ...load, ...endpoint], 20_000);
  expect((await first.ended).code).toBe(1);
  const marker = join(directory, 'failing', 'raft', 'disk-failed');
  expect(await readFile(marker, 'utf8')).toMatch(/commit log.*ENOENT/);

  await rename(`${log}-away`, log);
  const second = run(...serving('failing'), ...flags);
  const { metricsPort } = JSON.parse(await second.line) as { metricsPort: number };
  expect(existsSync(marker)).toBe(false);
  const metrics = async (): Promise<string> =>
    (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const elected = /raftmq_raft_elections_by_all_total\{[^}]*\} 1/;
  // A group of one has nobody to ask.
  await eventually(async () => elected.test(await metrics()), 10_000, 'it leads again');
  second.child.kill('SIGTERM');
  expect((await second.ended).code).toBe(0);

  const third = run(...serving('failing'), ...flags);
  const ready = JSON.parse(await third.line) as { metricsPort: number };
  const answer = await fetch(`http://127.0.0.1:${ready.metricsPort}/metrics`);
  expect(await answer.text()).toMatch(/raftmq_raft_elections_by_all_total\{[^}]*\} 0/);
  third.child.kill('SIGTERM');
  expect((await third.ended).code).toBe(0);
}, 60_000);
