import { expect, test } from '@jest/globals';
import { createPrng } from '@raftmq/base';
import { ColdRows } from './cold-rows.js';
import { MemoryStateStore } from '../testing/single-node.js';

const nothing = { puts: new Map<string, Buffer>(), deletes: new Set<string>() };

test('rows are seen wherever they lie, through checkpoints at any time', async () => {
  const prng = createPrng(7);
  const store = new MemoryStateStore();
  const cold = new ColdRows(store, () => undefined);
  const model = new Map<string, string>();
  let captured = false;
  for (let step = 0; step < 3_000; step++) {
    const key = `timer/${String(prng.integer(0, 199)).padStart(4, '0')}`;
    if (model.has(key)) {
      cold.delete(key);
      model.delete(key);
    } else {
      cold.put(key, Buffer.from(`v${step}`));
      model.set(key, `v${step}`);
    }
    if (prng.integer(0, 19) === 0 && !captured) {
      await store.save(step, nothing, cold.capture());
      captured = true;
    }
    if (prng.integer(0, 9) === 0 && captured) {
      cold.saved();
      captured = false;
    }
    expect((await cold.get(key))?.toString()).toBe(model.get(key));
    const from = `timer/${String(prng.integer(0, 199)).padStart(4, '0')}`;
    const countMax = 1 + prng.integer(0, 29);
    const rows = await cold.range(from, 'timer/~', countMax);
    const expected = [...model].filter(([other]) => other >= from).sort();
    expect(rows.map((row) => [row.key, row.value.toString()])).toEqual(expected.slice(0, countMax));
    const bytesMax = prng.integer(1, 60);
    const some = await cold.range(from, 'timer/~', countMax, bytesMax);
    let left = bytesMax;
    const fitting = expected.slice(0, countMax).filter(([, value], i) => {
      left -= value.length;
      return i === 0 || left >= 0;
    });
    expect(some.map((row) => row.key)).toEqual(fitting.map(([other]) => other));
    expect(cold.count).toBe(model.size);
  }
});

test('the sums depend on which rows there are, not on how they came', () => {
  const rows = (): ColdRows => new ColdRows(new MemoryStateStore(), () => undefined);
  const a = rows();
  const b = rows();
  const c = rows();
  a.put('timer/1', Buffer.from('x'));
  a.put('timer/2', Buffer.from('y'));
  b.put('timer/2', Buffer.from('y'));
  b.put('timer/3', Buffer.from('z'));
  b.put('timer/1', Buffer.from('x'));
  b.delete('timer/3');
  c.put('timer/1', Buffer.from('x'));
  c.put('timer/3', Buffer.from('z'));
  expect(a.encode()).toEqual(b.encode());
  expect(a.encode()).not.toEqual(c.encode());
  const again = rows();
  again.decode(a.encode());
  expect(again.encode()).toEqual(a.encode());
});

test('a decision is made by rows as they are, even when a checkpoint comes between', async () => {
  const store = new MemoryStateStore();
  const reads: (() => void)[] = [];
  const get = store.coldGet.bind(store);
  store.coldGet = async (key) => {
    const found = await get(key);
    await new Promise<void>((resolve) => reads.push(resolve));
    return found;
  };
  const cold = new ColdRows(store, () => undefined);
  const decided: (string | null)[][] = [];
  const deciding = cold.getNow(['a/1', 'a/2'], (rows) =>
    decided.push(rows.map((row) => row?.toString() ?? null)),
  );
  await Promise.resolve();
  await Promise.resolve();
  // The store has said that there is nothing; now there is, and it is in the store before we are told.
  cold.put('a/1', Buffer.from('one'));
  await store.save(1, nothing, cold.capture());
  cold.saved();
  cold.put('a/2', Buffer.from('two'));
  while (decided.length === 0) {
    for (const answer of reads.splice(0)) answer();
    await Promise.resolve();
  }
  await deciding;
  expect(decided).toEqual([['one', 'two']]);
});
