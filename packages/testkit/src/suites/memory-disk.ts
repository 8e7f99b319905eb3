import { type Disk, type DiskFile, type DiskUsage, type Prng } from '@raftmq/base';
import { SimDirectory } from '../sim/sim-directory.js';
import { SimInode } from '../sim/sim-inode.js';

const TOTAL_BYTES = 1024 ** 4;

interface Waiting {
  readonly effect: () => void;
  readonly label: string;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * A disk in memory whose slow operations happen one by one, when and in which order the test says, and whose power can
 * go at any moment in between. The same page cache and platter as the simulator's disk, without its clock.
 */
export class MemoryDisk implements Disk {
  readonly #random: Prng;
  readonly #directory = new SimDirectory();
  #waiting: Waiting[] = [];
  /** Operations so far, by label; for tests that look at the order. */
  readonly done: string[] = [];
  /** The operation with this label fails once. */
  failNext: string | null = null;

  constructor(random: Prng) {
    this.#random = random;
  }

  get waitingCount(): number {
    return this.#waiting.length;
  }

  /** Lets one waiting operation happen, chosen by chance. Gives false when there is none. */
  step(): boolean {
    if (this.#waiting.length === 0) return false;
    const [chosen] = this.#waiting.splice(this.#random.integer(0, this.#waiting.length - 1), 1);
    const { effect, label, resolve, reject } = chosen!;
    if (this.failNext === label) {
      this.failNext = null;
      reject(Object.assign(new Error(`EIO: i/o error, ${label}`), { code: 'EIO' }));
      return true;
    }
    effect();
    this.done.push(label);
    resolve();
    return true;
  }

  /** Lets everything happen until `promise` settles. */
  async drive<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const mark = (): void => {
      settled = true;
    };
    promise.then(mark, mark);
    for (let idle = 0; !settled;) {
      if (this.step()) idle = 0;
      else if (++idle > 1000) throw new Error('waits for something that no disk operation brings');
      await new Promise((resolve) => setImmediate(resolve));
    }
    return promise;
  }

  /** Kills the process, and with `power` takes the power away too. Files that are open stay silent for ever. */
  async crash(power: boolean): Promise<void> {
    // The dying process gets as far as its next wait for the disk; nothing wakes it again.
    await new Promise((resolve) => setImmediate(resolve));
    for (const { effect } of this.#waiting) if (this.#random.chance(0.5)) effect();
    this.#waiting = [];
    if (!power) return;
    this.#directory.powerCut(this.#random);
    for (const inode of this.#directory.inodes()) inode.powerCut(this.#random);
  }

  /** Changes one byte of a file, on the platter and in the cache. */
  rot(path: string, offset: number, mask: number): void {
    const inode = this.#directory.inode(path)!;
    const byte = inode.read(offset, 1);
    byte[0]! ^= mask;
    const before = inode.mark();
    inode.write(byte, offset);
    inode.sync(before + 1);
  }

  async open(path: string, { create }: { readonly create: boolean }): Promise<DiskFile> {
    if (create && this.#directory.inode(path) === null)
      this.#directory.create(path, new SimInode());
    return this.openSync(path);
  }

  openSync(path: string): DiskFile {
    const inode = this.#directory.inode(path);
    if (inode === null) throw missing(path);
    const wait = (label: string, effect: () => void): Promise<void> => this.#wait(label, effect);
    return {
      path,
      sizeBytes: () => inode.sizeBytes,
      write: (buffers, position) => {
        const bytes = Buffer.concat(buffers);
        return wait(`write ${path}`, () => inode.write(bytes, position));
      },
      read: async (position, lengthBytes) => inode.read(position, lengthBytes),
      readSync: (position, lengthBytes) => inode.read(position, lengthBytes),
      truncate: (sizeBytes) => wait(`truncate ${path}`, () => inode.truncate(sizeBytes)),
      sync: () => {
        const mark = inode.mark();
        return wait(`sync ${path}`, () => inode.sync(mark));
      },
      close: () => Promise.resolve(),
    };
  }

  async list(directory: string): Promise<string[]> {
    return this.#directory.names(directory);
  }

  async exists(path: string): Promise<boolean> {
    return this.#directory.inode(path) !== null || this.#directory.names(path).length > 0;
  }

  async makeDirectory(_path: string): Promise<void> {}

  rename(from: string, to: string): Promise<void> {
    if (this.#directory.inode(from) === null) return Promise.reject(missing(from));
    return this.#wait(`rename ${from}`, () => this.#directory.rename(from, to));
  }

  unlink(path: string): Promise<void> {
    if (this.#directory.inode(path) === null) return Promise.reject(missing(path));
    return this.#wait(`unlink ${path}`, () => this.#directory.unlink(path));
  }

  removeDirectory(path: string): Promise<void> {
    return this.#wait(`remove ${path}`, () => this.#directory.removeUnder(path));
  }

  syncDirectory(directory: string): Promise<void> {
    const mark = this.#directory.mark(directory);
    return this.#wait(`sync ${directory}`, () => this.#directory.sync(directory, mark));
  }

  async usage(_path: string): Promise<DiskUsage> {
    return { usedBytes: 0, totalBytes: TOTAL_BYTES, freeBytes: TOTAL_BYTES };
  }

  #wait(label: string, effect: () => void): Promise<void> {
    return new Promise((resolve, reject) => this.#waiting.push({ effect, label, resolve, reject }));
  }
}

function missing(path: string): Error {
  return Object.assign(new Error(`ENOENT: no such file, '${path}'`), { code: 'ENOENT' });
}
