import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createPrng, nodeDisk } from '@raftmq/base';
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileQueueIndex, topicDirectory } from './queue-index.js';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'raftmq-queues-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const open = (entriesPerFile = 8, openFilesMax = 2): Promise<FileQueueIndex> =>
  FileQueueIndex.open({ disk: nodeDisk, directory, entriesPerFile, openFilesMax });

/** Entry i of a queue lies at position 1000 + 100 i. */
function fill(
  index: FileQueueIndex,
  topic: string,
  queueId: number,
  fromOffset: number,
  endOffset: number,
): void {
  for (let i = fromOffset; i < endOffset; i++)
    index.append(topic, queueId, i, 1000 + 100 * i, 100 + i, (i % 3) - 1);
}

function expectEntries(
  index: FileQueueIndex,
  topic: string,
  queueId: number,
  fromOffset: number,
  count: number,
): void {
  const slice = index.read(topic, queueId, fromOffset, count);
  expect(slice.count).toBe(count);
  for (let i = 0; i < count; i++) {
    const offset = fromOffset + i;
    expect(slice.positions[i]).toBe(1000 + 100 * offset);
    expect(slice.sizesBytes[i]).toBe(100 + offset);
    expect(slice.tagHashes[i]).toBe((offset % 3) - 1);
  }
}

describe('FileQueueIndex', () => {
  test('reads across memory and several files, before and after flushes', async () => {
    const index = await open();
    fill(index, 'T', 0, 0, 20);
    await index.flush();
    fill(index, 'T', 0, 20, 37);
    expectEntries(index, 'T', 0, 0, 37);
    await index.flush();
    await index.flush();
    expect(index.tailSizeBytes()).toBe(0);
    expectEntries(index, 'T', 0, 5, 30);
    expect(index.read('T', 0, 30, 100).count).toBe(7);
    expect(index.read('unknown', 0, 0, 5).count).toBe(0);
    await index.close();
  });

  test('appends that arrive during a flush are neither lost nor written twice', async () => {
    const index = await open();
    fill(index, 'T', 1, 0, 11);
    const flushing = index.flush();
    fill(index, 'T', 1, 11, 29);
    await flushing;
    expectEntries(index, 'T', 1, 0, 29);
    await index.flush();
    await index.close();
    const reopened = await open();
    expect(reopened.maxOffset('T', 1)).toBe(29);
    expectEntries(reopened, 'T', 1, 0, 29);
    await reopened.close();
  });

  test('is cut back at recovery and ignores what is replayed twice', async () => {
    const index = await open();
    fill(index, 'T', 0, 0, 30);
    await index.flush();
    await index.close();
    const reopened = await open();
    await reopened.truncate('T', 0, 13);
    expect(reopened.maxOffset('T', 0)).toBe(13);
    fill(reopened, 'T', 0, 10, 25);
    expectEntries(reopened, 'T', 0, 0, 25);
    await reopened.flush();
    await reopened.close();
    const again = await open();
    await again.truncate('T', 0, 25);
    expectEntries(again, 'T', 0, 0, 25);
    await again.close();
  });

  test('refuses a gap', async () => {
    const index = await open();
    fill(index, 'T', 0, 0, 3);
    expect(() => index.append('T', 0, 4, 1, 1, 0)).toThrow('dense');
    await index.close();
  });

  test('uses nothing behind a damaged file header or a torn entry', async () => {
    const index = await open();
    fill(index, 'T', 0, 0, 24);
    await index.flush();
    await index.close();
    const queue = join(directory, topicDirectory('T'), '0');
    const [, second, third] = readdirSync(queue).sort();
    truncateSync(join(queue, third!), 32 + 20 * 3 + 7);
    let reopened = await open();
    expect(reopened.maxOffset('T', 0)).toBe(19);
    await reopened.close();
    writeFileSync(join(queue, second!), Buffer.alloc(64));
    reopened = await open();
    expect(reopened.maxOffset('T', 0)).toBe(8);
    expectEntries(reopened, 'T', 0, 0, 8);
    await reopened.close();
  });

  test('reads the file that took the place of a damaged one, not the one it had open', async () => {
    const first = await open();
    fill(first, 'T', 0, 0, 16);
    await first.flush();
    await first.close();
    truncateSync(join(directory, topicDirectory('T'), '0', '00000000000000000008'), 10);
    const second = await open(8, 128);
    await second.deleteTopic('T');
    fill(second, 'T', 0, 0, 16);
    await second.flush();
    await second.flush();
    expectEntries(second, 'T', 0, 0, 16);
    await second.close();
  });

  test('a topic that is made anew before a flush has begun keeps its new files', async () => {
    const index = await open(8, 1);
    fill(index, 'T', 0, 0, 10);
    await index.flush();
    const flushed = index.flush();
    const deleted = index.deleteTopic('T');
    fill(index, 'T', 0, 0, 20);
    await Promise.all([flushed, deleted]);
    // The second one finds nothing new: what is read then comes from the files.
    await index.flush();
    await index.flush();
    expectEntries(index, 'T', 0, 0, 20);
    await index.close();
    const reopened = await open(8, 1);
    expectEntries(reopened, 'T', 0, 0, 20);
    await reopened.close();
  });

  test('drops offsets whose messages are gone, with their files', async () => {
    const index = await open();
    fill(index, 'T', 0, 0, 40);
    await index.flush();
    index.dropBelow(1000 + 100 * 19 - 50);
    expect(index.minOffset('T', 0)).toBe(19);
    expect(index.read('T', 0, 0, 2).fromOffset).toBe(19);
    expectEntries(index, 'T', 0, 19, 21);
    await index.close();
    expect(readdirSync(join(directory, topicDirectory('T'), '0')).sort()[0]).toBe(
      '16'.padStart(20, '0'),
    );
  });

  test('an empty queue begins where the log begins', async () => {
    const index = await open();
    fill(index, 'T', 0, 1005, 1010);
    expect([index.minOffset('T', 0), index.maxOffset('T', 0)]).toEqual([1005, 1010]);
    await index.flush();
    expectEntries(index, 'T', 0, 1005, 5);
    await index.close();
  });

  test('keeps topics apart that differ only in case, and forgets a deleted one', async () => {
    const index = await open();
    fill(index, 'orders', 0, 0, 3);
    fill(index, 'Orders', 0, 0, 5);
    fill(index, '%DLQ%a|b', 2, 0, 2);
    await index.flush();
    await index.deleteTopic('Orders');
    await index.close();
    appendFileSync(join(directory, 'stray-file'), 'x');
    const reopened = await open();
    expect([...reopened.queues()].sort()).toEqual([
      ['%DLQ%a|b', 2],
      ['orders', 0],
    ]);
    await reopened.close();
  });

  test.each([1, 2, 3, 4])('behaves like a plain array under random use, seed %i', async (seed) => {
    const random = createPrng(seed);
    let index = await open(random.integer(1, 9), 1);
    const model: number[] = [];
    for (let step = 0; step < 300; step++) {
      const action = random.integer(0, 9);
      if (action < 6) {
        const position = step * 1000 + 1;
        index.append('T', 0, model.length, position, 1, step);
        model.push(position);
      } else if (action < 8) {
        await index.flush();
      } else {
        const from = random.integer(0, model.length);
        const count = random.integer(0, 12);
        expect(Array.from(index.read('T', 0, from, count).positions)).toEqual(
          model.slice(from, from + count),
        );
      }
    }
    await index.flush();
    await index.close();
    index = await open(random.integer(1, 9), 1);
    await index.close();
  });
});
