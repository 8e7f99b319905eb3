import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

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
