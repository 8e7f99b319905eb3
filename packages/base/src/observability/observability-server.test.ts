import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { silentLogger } from '../logger.js';
import { createMetricsRegistry, exposeMetrics } from './metrics.js';
import { ObservabilityServer } from './observability-server.js';

const registry = createMetricsRegistry();
let things = 0;
let levels = new Map<string, number>();
exposeMetrics(registry, [
  { name: 'raftmq_test_total', help: 'Something.', kind: 'counter', read: () => things },
  {
    name: 'raftmq_test_level',
    help: 'Something else.',
    kind: 'gauge',
    labels: ['tank'],
    read: () => [...levels].map(([tank, value]) => ({ labels: { tank }, value })),
  },
]);
let reasons: string[] = [];
let server: ObservabilityServer;

const make = (port: number): ObservabilityServer =>
  new ObservabilityServer({
    host: '127.0.0.1',
    port,
    registry,
    notReady: () => reasons,
    logger: silentLogger,
  });

beforeEach(async () => {
  reasons = [];
  server = make(0);
  await server.start();
});

afterEach(() => server.close());

async function ask(path: string, method = 'GET'): Promise<[number, string]> {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
  return [response.status, await response.text()];
}

test('serves metrics, liveness and readiness', async () => {
  things = 3;
  levels = new Map([
    ['a', 1.5],
    ['b', 2],
  ]);
  const [status, text] = await ask('/metrics');
  expect(status).toBe(200);
  expect(text).toContain('raftmq_test_total 3\n');
  expect(text).toContain('raftmq_test_level{tank="a"} 1.5\nraftmq_test_level{tank="b"} 2\n');
  expect(text).toContain('nodejs_eventloop_lag_seconds');
  expect(await ask('/livez')).toEqual([200, '{"live":true}']);
  expect(await ask('/readyz?verbose')).toEqual([200, '{"ready":true,"reasons":[]}']);
});

test('reads at each scrape, and forgets labels that are gone', async () => {
  things = 3;
  levels = new Map([['a', 1]]);
  await ask('/metrics');
  things = 5;
  levels = new Map([['b', 0]]);
  const [, text] = await ask('/metrics');
  expect(text).toContain('raftmq_test_total 5\n');
  expect(text).toContain('raftmq_test_level{tank="b"} 0\n');
  expect(text).not.toContain('tank="a"');
});

test('says why a node is not ready', async () => {
  reasons = ['no leader is known'];
  expect(await ask('/readyz')).toEqual([503, '{"ready":false,"reasons":["no leader is known"]}']);
  expect((await ask('/livez'))[0]).toBe(200);
});

test('refuses other paths and methods', async () => {
  expect((await ask('/'))[0]).toBe(404);
  expect((await ask('/metrics', 'POST'))[0]).toBe(405);
});

test('says clearly that its port is taken', async () => {
  await expect(make(server.port).start()).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringContaining(`127.0.0.1:${server.port}`),
  });
});
