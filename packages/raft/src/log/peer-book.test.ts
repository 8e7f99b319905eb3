import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { nodeDisk, silentLogger, type Disk } from '@raftmq/base';
import { PeerBook, type Life, type PeerBookOptions } from './peer-book.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'raftmq-peers-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const open = (options: Partial<PeerBookOptions> = {}): Promise<PeerBook> =>
  PeerBook.open({
    disk: nodeDisk,
    directory: join(root, 'raft'),
    logger: silentLogger,
    mustExist: false,
    peers: [1, 2],
    incarnation: () => 'me',
    session: 'now',
    onFailure: (error) => {
      throw error;
    },
    ...options,
  });

/** Closes the book, as the process ends, and opens it again. */
async function again(book: PeerBook): Promise<PeerBook> {
  await book.close();
  return open({ mustExist: true });
}

/** Whether the peer is known as what it says it is. */
async function meets(book: PeerBook, id: number, life: Life): Promise<boolean> {
  const met = book.meet(id, life);
  await met;
  return met !== null;
}

/** What the answers of peers made of this replica; with `close`, all writes have ended. */
async function told(
  book: PeerBook,
  answers: readonly { readonly id: number; readonly known?: boolean; readonly hasLog?: boolean }[],
): Promise<boolean[]> {
  const heard: boolean[] = [];
  for (const { id, known = true, hasLog = false } of answers)
    book.answered(id, known, hasLog, (takesPart) => heard.push(takesPart));
  await book.close();
  return heard;
}

/** A disk whose syncs wait from `hold` until `release`. */
class HeldDisk {
  #gate: Promise<void> | null = null;
  release: () => void = () => undefined;

  hold(): void {
    this.#gate = new Promise((resolve) => (this.release = resolve));
  }

  readonly disk: Disk = {
    ...nodeDisk,
    open: async (path, options) => {
      const file = await nodeDisk.open(path, options);
      const sync = file.sync.bind(file);
      file.sync = async () => {
        await this.#gate;
        await sync();
      };
      return file;
    },
  };
}

/** Long enough for everything that waits for nothing. */
async function aMoment(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

const life: Life = { incarnation: 'first', admittedAt: 0, starts: 3, session: 's3' };

describe('a peer is known as', () => {
  test('what it was, over a restart of this replica', async () => {
    let book = await open();
    expect(await meets(book, 1, life)).toBe(true);
    book = await again(book);
    expect(await meets(book, 1, life)).toBe(true);
    expect(await meets(book, 1, { ...life, incarnation: 'second' })).toBe(false);
    expect(await meets(book, 2, { ...life, incarnation: 'of another' })).toBe(true);
    await book.close();
  });

  test('the same when its process was started again; as another when it is an old copy', async () => {
    let book = await open();
    expect(await meets(book, 1, life)).toBe(true);
    expect(await meets(book, 1, { ...life, starts: 4, session: 's4' })).toBe(true);
    book = await again(book);
    expect(await meets(book, 1, life)).toBe(false);
    expect(await meets(book, 1, { ...life, starts: 4, session: 'a copy of then' })).toBe(false);
    expect(await meets(book, 1, { ...life, starts: 5, session: 's5' })).toBe(true);
    await book.close();
  });

  test('another until it was admitted; from then on the one before is another', async () => {
    let book = await open();
    const second: Life = { incarnation: 'second', admittedAt: 0, starts: 1, session: 't1' };
    expect(await meets(book, 1, life)).toBe(true);
    expect(await meets(book, 1, second)).toBe(false);
    expect(await meets(book, 1, { ...second, admittedAt: 40 })).toBe(true);
    book = await again(book);
    expect(await meets(book, 1, { ...life, starts: 9, session: 's9' })).toBe(false);
    expect(await meets(book, 1, { ...second, admittedAt: 40, starts: 2 })).toBe(true);
    expect(await meets(book, 1, { ...second, admittedAt: 30, starts: 8 })).toBe(false);
    await book.close();
  });
});

describe('this replica', () => {
  test('takes part when all peers know it, over a restart too; some are not enough', async () => {
    const book = await open();
    expect(book.takesPart).toBe(false);
    expect(await told(book, [{ id: 1 }, { id: 1 }])).toEqual([]);
    const second = await open({ mustExist: true });
    expect(second.takesPart).toBe(false);
    expect(await told(second, [{ id: 2 }])).toEqual([true]);
    const third = await open({ mustExist: true });
    expect(third.takesPart).toBe(true);
    await third.close();
  });

  test.each([
    ['one peer knows it as another', { id: 2, known: false }],
    ['one peer has a log already', { id: 2, hasLog: true }],
  ])('recovers when it is new and %s, whatever comes later', async (_name, answer) => {
    expect(await told(await open(), [{ id: 1 }, answer, { id: 2 }, { id: 1 }])).toEqual([]);
    const book = await open({ mustExist: true });
    expect(book.takesPart).toBe(false);
    expect(await told(book, [{ id: 1 }, { id: 2 }])).toEqual([]);
  });

  test('stops to take part when a peer knows it as another, until a leader admits it', async () => {
    expect(await told(await open(), [{ id: 1 }, { id: 2, hasLog: false }])).toEqual([true]);
    const old = await open({ mustExist: true });
    expect(
      await told(old, [
        { id: 1, hasLog: true },
        { id: 2, known: false },
      ]),
    ).toEqual([false]);
    const book = await open({ mustExist: true });
    expect(book.takesPart).toBe(false);
    let announced = 0;
    book.onAdmitted = () => void announced++;
    await book.admitted(17);
    expect(announced).toBe(1);
    expect(book.takesPart).toBe(true);
    const next = await again(book);
    expect(next.takesPart).toBe(true);
    expect(next.life).toEqual({ incarnation: 'me', session: 'now', admittedAt: 17, starts: 4 });
    // A majority lost power and entries: the index is one that was there before, and peers must see something newer.
    await next.admitted(9);
    expect(next.life.admittedAt).toBe(18);
    await next.close();
  });

  test('takes part from the beginning when it has no peers', async () => {
    const book = await open({ peers: [] });
    expect(book.takesPart).toBe(true);
    await book.close();
  });
});

describe('while the disk is busy', () => {
  test('a peer that calls again is not known before its first call is on disk', async () => {
    const held = new HeldDisk();
    const book = await open({ disk: held.disk });
    held.hold();
    const known: string[] = [];
    const calls = ['first', 'again'].map(async (call) => {
      await book.meet(1, life);
      known.push(call);
    });
    await aMoment();
    expect(known).toEqual([]);
    held.release();
    await Promise.all(calls);
    expect(known).toHaveLength(2);
    await book.close();
  });

  test('one that a peer knows as another by then does not begin to take part', async () => {
    const held = new HeldDisk();
    const book = await open({ disk: held.disk });
    const heard: boolean[] = [];
    const tell = (takesPart: boolean): void => void heard.push(takesPart);
    book.answered(1, true, false, tell);
    held.hold();
    book.answered(2, true, false, tell);
    book.answered(1, false, false, tell);
    held.release();
    await book.close();
    expect(book.takesPart).toBe(false);
    expect(heard).not.toContain(true);
  });
});

test('refuses missing and damaged files, and survives one that is damaged', async () => {
  await expect(open({ mustExist: true })).rejects.toMatchObject({ code: 'LOG_CORRUPTED' });
  const book = await open();
  await meets(book, 1, life);
  await book.close();
  const path = join(root, 'raft', 'peers-a');
  const bytes = readFileSync(path);
  bytes[100]! ^= 1;
  writeFileSync(path, bytes);
  const second = await open({ mustExist: true });
  expect(await meets(second, 1, { ...life, incarnation: 'second' })).toBe(false);
  await second.close();
  writeFileSync(path, bytes);
  writeFileSync(join(root, 'raft', 'peers-b'), bytes);
  await expect(open({ mustExist: true })).rejects.toMatchObject({
    code: 'LOG_CORRUPTED',
    message: expect.stringContaining('could vote for one that lost its disk'),
  });
});
