import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert';
import { entryEnd, type Entry, type LogStorage } from '@raftmq/raft';
import { makeEntries, makeEntriesBehind } from '@raftmq/broker-store/testing';

/** One log on one place that outlives it. Each case gets a fresh one. */
export interface LogStorageHarness {
  /** Opens the log; for the second time only after the first one was closed. */
  readonly open: () => Promise<LogStorage>;
  /**
   * Takes the power away without closing: the log given by `open` is not used any more, what was not durable may be
   * gone. Undefined for logs that do not survive their process.
   */
  readonly crash?: () => Promise<void>;
  /** Bytes of entries after which `compactThrough` can drop something; small, so that cases stay short. */
  readonly compactionUnitBytes: number;
}

/** One promise of `LogStorage`, as a function of an implementation. Fails by throwing. */
export interface LogStorageCase {
  readonly name: string;
  /** What the harness must be able to do: survive `close`, or a `crash` as well. */
  readonly needs: 'memory' | 'close' | 'crash';
  readonly run: (harness: LogStorageHarness) => Promise<void>;
}

/** Every promise that `LogStorage` makes; run them all against each implementation. */
export const logStorageCases: readonly LogStorageCase[] = [
  {
    name: 'begins empty',
    needs: 'memory',
    run: async ({ open }) => {
      const log = await open();
      strictEqual(log.firstIndex, 1);
      strictEqual(log.lastIndex, 0);
      strictEqual(log.endPosition, 0);
      strictEqual(log.lastStoreTimestampMs, 0);
      strictEqual(log.termAt(0), 0);
      throws(() => log.termAt(1), 'a term behind the log is not known');
      throws(() => log.read(1, 1, 100), 'nothing can be read from an empty log');
      await log.close();
    },
  },
  {
    name: 'shows entries to readers in the call that appends them',
    needs: 'memory',
    run: async ({ open }) => {
      const log = await open();
      const entries = makeEntries({ count: 20 });
      const appended = log.append(entries);
      strictEqual(log.lastIndex, 20);
      strictEqual(log.endPosition, entryEnd(entries[19]!));
      strictEqual(log.lastStoreTimestampMs, entries[19]!.storeTimestampMs);
      sameEntries(log.read(1, 20, Infinity), entries);
      await appended;
      sameEntries(log.read(1, 20, Infinity), entries);
      await log.close();
    },
  },
  {
    name: 'reads at least one entry, then as many as fit',
    needs: 'memory',
    run: async ({ open }) => {
      const log = await open();
      const entries = makeEntries({ count: 10, payloadBytes: 44 });
      await log.append(entries);
      const frameBytes = entries[0]!.frame.length;
      sameEntries(log.read(3, 10, 0), entries.slice(2, 3));
      sameEntries(log.read(3, 10, frameBytes), entries.slice(2, 3));
      sameEntries(log.read(3, 10, 3 * frameBytes - 1), entries.slice(2, 4));
      sameEntries(log.read(3, 10, 3 * frameBytes), entries.slice(2, 5));
      sameEntries(log.read(3, 4, Infinity), entries.slice(2, 4));
      throws(() => log.read(10, 11, Infinity), 'a range behind the end is refused');
      throws(() => log.read(0, 1, Infinity), 'a range before the start is refused');
      await log.close();
    },
  },
  {
    name: 'knows terms and where they begin',
    needs: 'memory',
    run: async ({ open }) => {
      const log = await open();
      const one = makeEntries({ count: 4, term: 2 });
      const two = makeEntriesBehind(one[3]!, { count: 1, term: 5 });
      const three = makeEntriesBehind(two[0]!, { count: 3, term: 6 });
      await log.append([...one, ...two, ...three]);
      deepStrictEqual(
        range(0, 8).map((index) => log.termAt(index)),
        [0, 2, 2, 2, 2, 5, 6, 6, 6],
      );
      deepStrictEqual(
        range(1, 8).map((index) => log.firstIndexOfTermAt(index)),
        [1, 1, 1, 1, 5, 6, 6, 6],
      );
      await log.close();
    },
  },
  {
    name: 'replaces a conflicting tail at once',
    needs: 'memory',
    run: async ({ open }) => {
      const log = await open();
      const old = makeEntries({ count: 30, term: 1 });
      await log.append(old);
      const fresh = makeEntriesBehind(old[11]!, { count: 2, term: 3, payloadBytes: 7 });
      const appended = log.append(fresh);
      strictEqual(log.lastIndex, 14);
      strictEqual(log.termAt(12), 1);
      strictEqual(log.termAt(13), 3);
      strictEqual(log.firstIndexOfTermAt(14), 13);
      strictEqual(log.endPosition, entryEnd(fresh[1]!));
      sameEntries(log.read(10, 14, Infinity), [...old.slice(9, 12), ...fresh]);
      await appended;
      sameEntries(log.read(1, 14, Infinity), [...old.slice(0, 12), ...fresh]);
      await log.close();
    },
  },
  {
    name: 'settles appends in call order, replaced ones included',
    needs: 'memory',
    run: async ({ open }) => {
      const log = await open();
      const settled: string[] = [];
      const note = (name: string) => () => void settled.push(name);
      const a = makeEntries({ count: 5 });
      const b = makeEntriesBehind(a[4]!, { count: 5 });
      const c = makeEntriesBehind(a[1]!, { count: 4, term: 2 });
      const d = makeEntriesBehind(c[3]!, { count: 1, term: 2 });
      await Promise.all([
        log.append(a).then(note('a')),
        log.append(b).then(note('b')),
        log.append(c).then(note('c')),
        log.append(d).then(note('d')),
      ]);
      deepStrictEqual(settled, ['a', 'b', 'c', 'd']);
      sameEntries(log.read(1, log.lastIndex, Infinity), [...a.slice(0, 2), ...c, ...d]);
      await log.close();
    },
  },
  {
    name: 'refuses what would leave a gap',
    needs: 'memory',
    run: async ({ open }) => {
      const log = await open();
      const entries = makeEntries({ count: 5 });
      await log.append(entries.slice(0, 2));
      throws(() => void log.append(entries.slice(3)), 'a gap in the indexes');
      throws(
        () => void log.append(makeEntries({ count: 1, fromIndex: 3, position: 7 })),
        'a wrong position',
      );
      throws(() => void log.append([]), 'nothing to append');
      strictEqual(log.lastIndex, 2);
      await log.append(entries.slice(2));
      sameEntries(log.read(1, 5, Infinity), entries);
      await log.close();
    },
  },
  {
    name: 'forgets whole units from the front only, and keeps the term before the first entry',
    needs: 'memory',
    run: async ({ open, compactionUnitBytes }) => {
      const log = await open();
      const entries = await fill(log, 5 * compactionUnitBytes);
      await log.compactThrough(0);
      strictEqual(log.firstIndex, 1);
      await log.compactThrough(Math.floor(entries.length / 2));
      const { firstIndex } = log;
      ok(firstIndex > 1, 'something went');
      ok(firstIndex <= Math.floor(entries.length / 2) + 1, 'nothing behind the index went');
      strictEqual(log.termAt(firstIndex - 1), entries[firstIndex - 2]!.term);
      throws(() => log.termAt(firstIndex - 2), 'terms further back are gone');
      throws(
        () => log.read(firstIndex - 1, firstIndex, Infinity),
        'entries before the first are gone',
      );
      sameEntries(log.read(firstIndex, log.lastIndex, Infinity), entries.slice(firstIndex - 1));
      await log.append(makeEntriesBehind(entries.at(-1)!, { count: 1 }));
      await log.close();
    },
  },
  {
    name: 'is the same after close and open',
    needs: 'close',
    run: async ({ open, compactionUnitBytes }) => {
      const log = await open();
      const entries = await fill(log, 4 * compactionUnitBytes);
      await log.compactThrough(Math.floor(entries.length / 2));
      const { firstIndex, endPosition, lastStoreTimestampMs } = log;
      await log.close();
      const again = await open();
      strictEqual(again.firstIndex, firstIndex);
      strictEqual(again.lastIndex, entries.length);
      strictEqual(again.endPosition, endPosition);
      strictEqual(again.lastStoreTimestampMs, lastStoreTimestampMs);
      sameEntries(again.read(firstIndex, again.lastIndex, Infinity), entries.slice(firstIndex - 1));
      for (let index = firstIndex - 1; index <= again.lastIndex; index++) {
        strictEqual(again.termAt(index), entries[index - 1]!.term);
      }
      const more = makeEntriesBehind(entries.at(-1)!, { count: 3, term: 99 });
      await again.append(more);
      await again.close();
      const third = await open();
      sameEntries(third.read(third.lastIndex - 2, third.lastIndex, Infinity), more);
      await third.close();
    },
  },
  {
    name: 'cuts a tail back over many units and keeps the cut',
    needs: 'close',
    run: async ({ open, compactionUnitBytes }) => {
      const log = await open();
      const old = await fill(log, 4 * compactionUnitBytes);
      const keep = Math.floor(old.length / 4);
      const fresh = makeEntriesBehind(old[keep - 1]!, {
        count: old.length,
        term: 50,
        payloadBytes: 90,
      });
      await log.append(fresh);
      sameEntries(log.read(1, log.lastIndex, Infinity), [...old.slice(0, keep), ...fresh]);
      await log.close();
      const again = await open();
      sameEntries(again.read(1, again.lastIndex, Infinity), [...old.slice(0, keep), ...fresh]);
      strictEqual(again.firstIndexOfTermAt(again.lastIndex), keep + 1);
      await again.close();
    },
  },
  {
    name: 'has what it acknowledged after a power cut',
    needs: 'crash',
    run: async ({ open, crash, compactionUnitBytes }) => {
      ok(crash !== undefined, 'the harness can take the power away');
      const log = await open();
      const old = await fill(log, 3 * compactionUnitBytes);
      const keep = Math.floor(old.length / 2);
      const fresh = makeEntriesBehind(old[keep - 1]!, { count: 5, term: 50 });
      await log.append(fresh);
      const late = makeEntriesBehind(fresh[4]!, { count: 5, term: 50 });
      log.append(late).catch(() => undefined); // Its fate is open: the power goes meanwhile.
      await crash();
      const again = await open();
      ok(again.lastIndex >= keep + 5, 'acknowledged entries are there');
      const all = [...old.slice(0, keep), ...fresh, ...late];
      sameEntries(again.read(1, again.lastIndex, Infinity), all.slice(0, again.lastIndex));
      await again.append(makeEntriesBehind(all[again.lastIndex - 1]!, { count: 1, term: 51 }));
      await again.close();
    },
  },
];

/** Asserts that two runs of entries have the same meta data and the same bytes. */
export function sameEntries(actual: readonly Entry[], expected: readonly Entry[]): void {
  strictEqual(actual.length, expected.length, 'number of entries');
  for (const [i, entry] of actual.entries()) {
    const { frame: actualFrame, ...actualMeta } = entry;
    const { frame: expectedFrame, ...expectedMeta } = expected[i]!;
    deepStrictEqual(actualMeta, expectedMeta);
    ok(actualFrame.equals(expectedFrame), `bytes of entry ${entry.index}`);
  }
}

/** Appends entries in small batches, with a new term now and then, until they take `sizeBytes`. */
async function fill(log: LogStorage, sizeBytes: number): Promise<Entry[]> {
  const entries = makeEntries({ count: 1 });
  await log.append(entries);
  const appends: Promise<void>[] = [];
  while (log.endPosition < sizeBytes) {
    const term = 1 + Math.floor(entries.length / 50);
    const batch = makeEntriesBehind(entries.at(-1)!, { count: 7, term, payloadBytes: 150 });
    appends.push(log.append(batch));
    entries.push(...batch);
  }
  await Promise.all(appends);
  return entries;
}

function range(from: number, through: number): number[] {
  return Array.from({ length: through - from + 1 }, (_, i) => from + i);
}
