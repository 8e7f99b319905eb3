import { describe, expect, test } from '@jest/globals';
import { planCluster, type DevOptions } from './plan.js';
import { loopbackPortIsFree, PortAllocator } from './ports.js';
import { createServer, type AddressInfo } from 'node:net';

const options: DevOptions = {
  groups: 2,
  replicas: 3,
  dataDir: '/data',
  grpcPort: 8081,
  namesrvPort: 9876,
  settings: ['flushDiskType=ASYNC_FLUSH', 'text=a=b'],
};

const allFree = (): PortAllocator =>
  new PortAllocator(
    () => Promise.resolve(true),
    () => 0,
  );

describe('planCluster', () => {
  test('gives every node a block of ports, a name and a directory', async () => {
    const { namesrv, brokers } = await planCluster(options, allFree());
    expect(namesrv.grpc).toBe('127.0.0.1:9876');
    expect(brokers.map((broker) => broker.name)).toEqual([
      'broker-a-0',
      'broker-a-1',
      'broker-a-2',
      'broker-b-0',
      'broker-b-1',
      'broker-b-2',
    ]);
    expect(brokers[4]).toMatchObject({
      grpc: '127.0.0.1:8085',
      remoting: '127.0.0.1:10951',
      metrics: '127.0.0.1:5561',
      dataDir: '/data/broker-b-1',
      logFile: '/data/logs/broker-b-1.log',
    });
    expect(namesrv.metrics).toBe('127.0.0.1:5563');
    const args = brokers[4]!.args;
    expect(args[args.indexOf('--peers') + 1]).toBe(
      '0@127.0.0.1:10942@127.0.0.1:8084;1@127.0.0.1:10952@127.0.0.1:8085;2@127.0.0.1:10962@127.0.0.1:8086',
    );
    expect(args.slice(-4)).toEqual(['--flush-disk-type', 'ASYNC_FLUSH', '--text', 'a=b']);
  });

  test('passes over a block when one of its ports is taken', async () => {
    const taken = new Set([8081, 10_921, 10_932, 5560, 9876]);
    const ports = new PortAllocator(
      (port) => Promise.resolve(!taken.has(port)),
      () => 0,
    );
    const { namesrv, brokers } = await planCluster({ ...options, groups: 1 }, ports);
    expect(namesrv.grpc).toBe('127.0.0.1:9877');
    expect(brokers.map((broker) => broker.grpc)).toEqual([
      '127.0.0.1:8085',
      '127.0.0.1:8086',
      '127.0.0.1:8087',
    ]);
  });

  test('with port 0 takes any ports, none twice', async () => {
    let draw = 0;
    const ports = new PortAllocator(
      () => Promise.resolve(true),
      () => (draw++ % 40) / 20_000,
    );
    const plan = await planCluster({ ...options, grpcPort: 0, namesrvPort: 0 }, ports);
    const all = [plan.namesrv, ...plan.brokers].flatMap((node) => [node.grpc, node.metrics]);
    expect(new Set(all).size).toBe(all.length);
    for (const address of all) expect(Number(address.split(':')[1])).toBeGreaterThanOrEqual(15_000);
  });

  test('refuses a setting that is not name=value', async () => {
    const plan = planCluster({ ...options, settings: ['autoCreateTopic'] }, allFree());
    await expect(plan).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });

  test('says so when nothing is free', async () => {
    const none = new PortAllocator(
      () => Promise.resolve(false),
      () => 0.5,
    );
    await expect(planCluster(options, none)).rejects.toThrow('no free port from 9876');
    await expect(none.brokerPorts(65_400)).rejects.toThrow('no free block of ports from 65400');
    await expect(none.any()).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });
});

describe('loopbackPortIsFree', () => {
  test('tells a port that is listened on from one that is not', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    expect(await loopbackPortIsFree(port)).toBe(false);
    await new Promise((resolve) => server.close(resolve));
    expect(await loopbackPortIsFree(port)).toBe(true);
  });
});
