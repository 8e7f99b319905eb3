import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createPrng, nodeDisk, silentLogger, type Disk } from '@raftmq/base';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, LogFixture } from '../commitlog/testing/log-fixture.js';
import { MessageIndex } from './message-index.js';
import { keyTerm, messageIdTerm, queueRangeTerm, type Term } from './term-collector.js';
import { hastyClock, IndexedLog, type EntryPlan } from './testing/indexed-log.js';

let directory = '';
let log: IndexedLog;
beforeEach(() => {
  directory = join(mkdtempSync(join(tmpdir(), 'raftmq-index-')), 'index');
  log = new IndexedLog();
});
afterEach(() => rmSync(join(directory, '..'), { recursive: true, force: true }));

const small = { runPairs: 40, runSpanBytes: 20_000 };
const everything = {
  fromPosition: 0,
  endPosition: Infinity,
  ascending: false,
  countMax: 1_000,
};

async function positionsOf(index: MessageIndex, term: Term): Promise<readonly number[]> {
  return (await index.find(term, everything)).positions;
}

const one = (messageId: string, keys: readonly string[] = [], topic = 'T'): EntryPlan => ({
  messages: [{ messageId, topic, keys }],
  ranges: [],
});

/** Appends `count` entries with one message each and applies them. */
function fill(index: MessageIndex, count: number): void {
  const applied = log.lastIndex;
  for (let i = 0; i < count; i++) log.append(one(`id-${applied + i}`, [`key-${i % 7}`]));
  log.applyTo(index, applied);
}

/** Ids are found, each at its place and nowhere else; a prime step visits every part of the log. */
async function expectAll(index: MessageIndex): Promise<void> {
  const ids = log.placed.filter(({ term }) => term.startsWith('id '));
  const step = ids.length > 100 ? 7 : 1;
  for (let i = 0; i < ids.length; i += step) {
    const { term, position } = ids[i]!;
    if (position < log.firstPosition) continue;
    expect(await positionsOf(index, messageIdTerm(term.slice(3)))).toEqual([position]);
  }
}

describe('MessageIndex', () => {
  test('finds ids anywhere and keys within their topic', async () => {
    const index = await log.open(directory, 0);
    log.append(one('a', ['red', 'blue'], 'T'));
    log.append(one('b', ['red'], 'U'));
    log.append(one('c', ['two words', 'red'], 'T'));
    log.applyTo(index, 0);
    const at = log.placed.filter(({ term }) => term.startsWith('id ')).map((p) => p.position);
    expect(await positionsOf(index, messageIdTerm('b'))).toEqual([at[1]]);
    expect(await positionsOf(index, keyTerm('T', 'red'))).toEqual([at[2], at[0]]);
    expect(await positionsOf(index, keyTerm('U', 'red'))).toEqual([at[1]]);
    expect(await positionsOf(index, keyTerm('T', 'two words'))).toEqual([at[2]]);
    expect(await positionsOf(index, keyTerm('T', 'two'))).toEqual([]);
    expect(await positionsOf(index, messageIdTerm('red'))).toEqual([]);
    await index.close();
  });

  test('writes full buffers, merges them, and finds the same before and after a clean restart', async () => {
    const index = await log.open(directory, 0, small);
    for (let round = 0; round < 34; round++) {
      fill(index, 20);
      await index.idle();
    }
    expect(index.counters.runsMerged).toBeGreaterThanOrEqual(16);
    expect(index.runCount).toBeLessThan(20);
    await expectAll(index);
    await index.close();
    const reads = log.reads;
    const again = await log.open(directory, log.lastIndex, small);
    expect(again.missingBytes).toBe(0);
    await expectAll(again);
    expect(log.reads).toBe(reads);
    await again.close();
  });

  test('pages through the hits of one key in both directions', async () => {
    const index = await log.open(directory, 0, { ...small, runPairs: 3_000, runSpanBytes: 1e6 });
    for (let i = 0; i < 4_000; i++) log.append(one(`id-${i}`, ['same']));
    log.applyTo(index, 0);
    await index.idle();
    const all = log.placed.filter(({ term }) => term === 'key T same').map((p) => p.position);
    for (const ascending of [true, false]) {
      const found: number[] = [];
      for (;;) {
        const last = found[found.length - 1];
        const page = await index.find(keyTerm('T', 'same'), {
          fromPosition: ascending && last !== undefined ? last + 1 : 0,
          endPosition: !ascending && last !== undefined ? last : Infinity,
          ascending,
          countMax: 333,
        });
        if (page.positions.length === 0) break;
        found.push(...page.positions);
      }
      expect(found).toEqual(ascending ? all : [...all].reverse());
    }
    await index.close();
  });

  test('indexes again what a crash lost, and what was applied after the last checkpoint only once', async () => {
    const index = await log.open(directory, 0, small);
    fill(index, 90);
    await index.idle();
    // No close: the open buffer is lost. The state was saved at entry 30, files reach further.
    const again = await log.open(directory, 30, small);
    log.applyTo(again, 30);
    await again.idle();
    expect(again.missingBytes).toBe(0);
    await expectAll(again);
    const behind = await log.open(directory, 90, small);
    expect(behind.missingBytes).toBeGreaterThan(0);
    await behind.idle();
    expect(behind.missingBytes).toBe(0);
    await expectAll(behind);
    await again.close();
    await behind.close();
  });

  test('survives the loss of its directory, while it is closed and while it is open', async () => {
    const index = await log.open(directory, 0, small);
    fill(index, 200);
    await index.idle();
    rmSync(directory, { recursive: true });
    // The first lookup that meets a missing file has it made again.
    const { missingBytes } = await index.find(messageIdTerm('id-0'), everything);
    expect(missingBytes).toBeGreaterThan(0);
    await index.idle();
    await expectAll(index);
    await index.close();
    rmSync(directory, { recursive: true });
    const again = await log.open(directory, log.lastIndex, small);
    expect(again.missingBytes).toBe(log.endPosition);
    await again.idle();
    expect(again.counters.reindexedBytes).toBe(log.endPosition);
    await expectAll(again);
    await again.close();
  });

  test.each([
    ['a header', 3],
    ['a fence', 70],
    ['a block', -5],
  ])('notices damage in %s', async (_what, at) => {
    const index = await log.open(directory, 0, small);
    fill(index, 60);
    await index.close();
    for (const name of readdirSync(directory)) {
      const bytes = readFileSync(join(directory, name));
      bytes[at < 0 ? bytes.length + at : at]! ^= 0x10;
      writeFileSync(join(directory, name), bytes);
    }
    const again = await log.open(directory, log.lastIndex, small);
    await again.find(messageIdTerm('id-1'), everything);
    for (const { term } of log.placed) {
      if (term.startsWith('id ')) await again.find(messageIdTerm(term.slice(3)), everything);
    }
    await again.idle();
    await expectAll(again);
    await again.close();
  });

  test('does not trust a file that reaches beyond the log', async () => {
    const index = await log.open(directory, 0, small);
    fill(index, 40);
    await index.close();
    log.entries.length = 30;
    log.placed.length = 60;
    const again = await log.open(directory, 35, small);
    for (let i = 0; i < 10; i++) log.append(one(`other-${i}`));
    log.applyTo(again, 30);
    await again.idle();
    expect(again.missingBytes).toBe(0);
    await expectAll(again);
    expect(await positionsOf(again, messageIdTerm('id-35'))).toEqual([]);
    await again.close();
  });

  test('lets files go with their messages', async () => {
    const index = await log.open(directory, 0, small);
    fill(index, 300);
    await index.idle();
    const before = readdirSync(directory).length;
    log.firstIndex = 250;
    index.dropBelow(log.firstPosition);
    await index.idle();
    expect(readdirSync(directory).length).toBeLessThan(before);
    expect(await positionsOf(index, messageIdTerm('id-0'))).toEqual([]);
    await expectAll(index);
    await index.close();
    const again = await log.open(directory, log.lastIndex, small);
    expect(again.missingBytes).toBe(0);
    await again.close();
  });

  test('holds up nobody when the disk does not take its files, and catches up later', async () => {
    let full = true;
    const disk: Disk = {
      ...nodeDisk,
      open: (path, options) =>
        full && options.create
          ? Promise.reject(Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' }))
          : nodeDisk.open(path, options),
    };
    const index = await log.open(directory, 0, small, disk);
    fill(index, 600);
    await eventually(() => index.counters.failures > 0);
    expect(index.missingBytes).toBeGreaterThan(0);
    const last = await index.find(messageIdTerm('id-0'), everything);
    expect(last.missingBytes).toBeGreaterThan(0);
    full = false;
    await index.idle();
    expect(index.missingBytes).toBe(0);
    await expectAll(index);
    await index.close();
  });

  test('finds commands by any offset of the ranges that they name', async () => {
    const index = await log.open(directory, 0);
    const plan = (fromOffset: number, count: number): EntryPlan => ({
      messages: [{ messageId: 'x', topic: 'T', keys: [] }],
      ranges: [{ fromOffset, count }],
    });
    const entries = [log.append(plan(0, 5)), log.append(plan(30, 40)), log.append(plan(1_000, 1))];
    log.applyTo(index, 0);
    const at = entries.map((entry) => entry.position);
    expect(await positionsOf(index, queueRangeTerm('T', 0, 3))).toEqual([at[0]]);
    for (const offset of [30, 45, 69])
      expect(await positionsOf(index, queueRangeTerm('T', 0, offset))).toEqual([at[1]]);
    expect(await positionsOf(index, queueRangeTerm('T', 1, 3))).toEqual([]);
    expect(await positionsOf(index, queueRangeTerm('T', 0, 200))).toEqual([]);
    await index.close();
  });

  test('works on a real log: segments that retention takes, and records read back from disk', async () => {
    const fixture = new LogFixture();
    let real = await fixture.open({ cacheBytes: '1048576' });
    const { collect } = log;
    const options = { disk: nodeDisk, directory, collect, clock: hastyClock, logger: silentLogger };
    const limits = { runPairs: 100, runSpanBytes: 1e9, waitingRunsMax: 20 };
    const open = (appliedIndex: number) =>
      MessageIndex.open({ ...options, log: real, appliedIndex, limits });
    let index = await open(0);
    for (let i = 0; i < 900; i++) await real.append([log.append(one(`id-${i}`))]);
    log.applyTo(index, 0);
    await index.idle();
    const files = index.runCount;
    await real.compactThrough(600);
    expect(real.firstIndex).toBeGreaterThan(300);
    index.dropBelow(real.firstPosition);
    await index.idle();
    expect(index.runCount).toBeLessThan(files);
    await index.close();
    await real.close();
    real = await fixture.open();
    index = await open(900);
    expect(index.missingBytes).toBe(0);
    for (const wanted of [real.firstIndex, 700, 900]) {
      const [position] = await positionsOf(index, messageIdTerm(`id-${wanted - 1}`));
      const entry = await real.entryAt(position!);
      expect(entry?.index).toBe(wanted);
    }
    expect(await positionsOf(index, messageIdTerm('id-3'))).toEqual([]);
    await index.close();
    await real.close();
    fixture.remove();
  });

  test('equals a naive map through crashes, restarts, lost files and retention', async () => {
    for (let seed = 1; seed <= 6; seed++) await randomRun(seed);
  }, 60_000);
});

async function randomRun(seed: number): Promise<void> {
  rmSync(directory, { recursive: true, force: true });
  log = new IndexedLog();
  const random = createPrng(seed);
  const limits = {
    runPairs: random.integer(5, 60),
    runSpanBytes: random.integer(1_000, 20_000),
    waitingRunsMax: random.integer(1, 3),
  };
  let index = await log.open(directory, 0, limits);
  for (let step = 0; step < 40; step++) {
    const applied = log.lastIndex;
    for (let left = random.integer(0, 12); left > 0; left--) log.append(randomEntry(random));
    log.applyTo(index, applied);
    if (random.chance(0.3)) await index.idle();
    if (random.chance(0.1)) {
      log.firstIndex = random.integer(log.firstIndex, log.lastIndex + 1);
      index.dropBelow(log.firstPosition);
    }
    if (random.chance(0.1)) {
      const savedIndex = random.integer(log.firstIndex - 1, log.lastIndex);
      // A crash leaves an index that still works on its files; it must end before the next one begins.
      await index.close();
      if (random.chance(0.7)) harm(random);
      index = await log.open(directory, savedIndex, limits);
      log.applyTo(index, savedIndex);
    }
    if (random.chance(0.2)) await expectNaive(index, random);
  }
  // Damage shows when a block is read: one round of lookups finds it, and the next one finds everything.
  for (const { term } of log.placed) await index.find(termOf(term), everything);
  await index.idle();
  expect(index.missingBytes).toBe(0);
  for (let i = 0; i < 20; i++) await expectNaive(index, random);
  expect(index.missingBytes).toBe(0);
  await index.close();
}

function randomEntry(random: ReturnType<typeof createPrng>): EntryPlan {
  const messages = Array.from({ length: random.integer(1, 4) }, () => ({
    messageId: `m${random.integer(0, 99)}`,
    topic: random.pick(['T', 'U']),
    keys: Array.from({ length: random.integer(0, 2) }, () => `k${random.integer(0, 5)}`),
  }));
  return { messages, ranges: [] };
}

/** Removes, cuts or garbles some files, as a power cut does with what was not synced. */
function harm(random: ReturnType<typeof createPrng>): void {
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    const { length } = readFileSync(path);
    const how = random.integer(0, 5);
    if (how === 0) rmSync(path);
    if (how === 1) truncateSync(path, random.integer(0, length - 1));
    if (how === 2) writeFileSync(path, Buffer.alloc(length));
    if (how === 3) {
      const bytes = readFileSync(path);
      bytes.fill(0, random.integer(0, length - 1));
      writeFileSync(path, bytes);
    }
  }
}

function termOf(text: string): Term {
  const [kind, first = '', second = ''] = text.split(' ');
  return kind === 'id' ? messageIdTerm(first) : keyTerm(first, second);
}

async function expectNaive(
  index: MessageIndex,
  random: ReturnType<typeof createPrng>,
): Promise<void> {
  const { term } = log.placed.length === 0 ? { term: 'id none' } : random.pick(log.placed);
  const wanted = log.placed
    .filter((placed) => placed.term === term && placed.position >= log.firstPosition)
    .map(({ position }) => position);
  const ascending = random.chance(0.5);
  const { positions, missingBytes } = await index.find(termOf(term), { ...everything, ascending });
  const found = [...new Set(positions)].filter((position) => position >= log.firstPosition);
  if (!ascending) wanted.reverse();
  if (missingBytes === 0) expect(found).toEqual(wanted);
  else expect(wanted).toEqual(expect.arrayContaining(found));
}
