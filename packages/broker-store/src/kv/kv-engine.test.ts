import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type KvEngine } from '../ports.js';
import { KvStateStore } from '../state-store/kv-state-store.js';
import { MemoryKvEngine } from './memory-engine.js';
import { openRocksDb, prefixEnd } from './rocksdb-engine.js';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'raftmq-kv-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const text = (value: string): Buffer => Buffer.from(value);

async function pairs(kv: KvEngine, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { key, value } of kv.scan(text(prefix)))
    found.push(`${key.toString()}=${value.toString()}`);
  return found;
}

describe.each([
  ['RocksDB', () => openRocksDb(join(directory, 'db'))],
  ['memory', async () => new MemoryKvEngine()],
])('KvEngine over %s', (_name, openEngine) => {
  test('writes batches, reads them back in key order, deletes', async () => {
    const kv = await openEngine();
    const puts = ['b/2', 'a/1', 'b/1', 'c'].map((key) => ({
      key: text(key),
      value: text(`v${key}`),
    }));
    await kv.write({ puts, deletes: [] });
    expect(await pairs(kv, 'b/')).toEqual(['b/1=vb/1', 'b/2=vb/2']);
    expect((await kv.get(text('c')))?.toString()).toBe('vc');
    await kv.write({
      puts: [{ key: text('c'), value: text('') }],
      deletes: [text('b/1'), text('missing')],
    });
    expect(await pairs(kv, '')).toEqual(['a/1=va/1', 'b/2=vb/2', 'c=']);
    expect(await kv.get(text('b/1'))).toBeNull();
    await kv.flush();
    await kv.close();
  });

  test('holds more rows than one read-ahead', async () => {
    const kv = await openEngine();
    const puts = Array.from({ length: 3000 }, (_, i) => ({
      key: text(`k${String(i).padStart(5, '0')}`),
      value: Buffer.alloc(50, i),
    }));
    await kv.write({ puts, deletes: [] });
    expect((await pairs(kv, 'k')).length).toBe(3000);
    await kv.close();
  });

  test('the state store changes rows and applied index together', async () => {
    const kv = await openEngine();
    const store = new KvStateStore(kv);
    expect(await store.load()).toEqual({ appliedIndex: 0, rows: new Map() });
    const nothing = { puts: new Map<string, Buffer>(), deletes: new Set<string>() };
    const topics = new Map([
      ['topic/a', text('1')],
      ['topic/b', text('2')],
    ]);
    const timers = new Map(['1', '2', '3'].map((key) => [`timer/${key}`, text(`t${key}`)]));
    await store.save(7, { ...nothing, puts: topics }, { ...nothing, puts: timers });
    await store.save(
      9,
      { puts: new Map([['topic/b', text('3')]]), deletes: new Set(['topic/a']) },
      { ...nothing, deletes: new Set(['timer/2']) },
    );
    const { appliedIndex, rows } = await store.load();
    expect(appliedIndex).toBe(9);
    expect([...rows].map(([key, value]) => [key, value.toString()])).toEqual([['topic/b', '3']]);
    expect(await store.coldGet('timer/2')).toBeNull();
    expect((await store.coldGet('timer/3'))?.toString()).toBe('t3');
    const all = await store.coldRange('timer/', 'timer/~', 10);
    expect(all.map(({ key, value }) => `${key}=${value.toString()}`)).toEqual([
      'timer/1=t1',
      'timer/3=t3',
    ]);
    expect((await store.coldRange('timer/', 'timer/3', 10)).length).toBe(1);
    expect((await store.coldRange('timer/', 'timer/~', 1)).length).toBe(1);
    await store.close();
  });
});

test('RocksDB keeps what was written when it is opened again', async () => {
  const path = join(directory, 'again');
  const first = await openRocksDb(path);
  await first.write({ puts: [{ key: text('k'), value: text('v') }], deletes: [] });
  await first.close();
  const second = await openRocksDb(path);
  expect((await second.get(text('k')))?.toString()).toBe('v');
  await second.close();
});

test('a state of another format version is refused, not misread', async () => {
  const kv = new MemoryKvEngine();
  await kv.write({
    puts: [{ key: text('meta'), value: Buffer.from([9, 0, 0, 0, 0, 0, 0, 0, 1]) }],
    deletes: [],
  });
  await expect(new KvStateStore(kv).load()).rejects.toMatchObject({ code: 'VERSION_UNSUPPORTED' });
});

test('the end of a prefix', () => {
  expect(prefixEnd(Buffer.from([1, 0xff]))).toEqual(Buffer.from([2]));
  expect(prefixEnd(Buffer.from([0xff]))).toBeNull();
  expect(prefixEnd(Buffer.alloc(0))).toBeNull();
});
