import { type Disk, type DiskFile, type DiskUsage, type Prng } from '@raftmq/base';
import { type Life } from './event-heap.js';
import { SimDirectory } from './sim-directory.js';
import { SimInode } from './sim-inode.js';
import { type World } from './world.js';

/** How slow a disk is; drawn once per seed. */
export interface DiskTimes {
  readonly writeMinMs: number;
  readonly writeMaxMs: number;
  readonly syncMinMs: number;
  readonly syncMaxMs: number;
}

/** What a disk answers once. */
export interface DiskError {
  readonly operation: 'write' | 'sync';
  readonly code: 'EIO' | 'ENOSPC';
}

interface Pending {
  readonly apply: () => void;
}

const TOTAL_BYTES = 1024 ** 4;

/**
 * One machine's disk: a page cache over a platter. Processes come and go (`attach`); what they wrote stays in the cache
 * when they are killed, and only what they synced survives a power cut. See {@link SimInode} for what may happen to the
 * rest.
 */
export class SimDisk {
  readonly #world: World;
  readonly #random: Prng;
  readonly #times: DiskTimes;
  readonly #directory = new SimDirectory();
  readonly #pending = new Set<Pending>();
  #stalledUntilMs = 0;
  #slowUntilMs = 0;
  #slowness = 1;
  #planned: DiskError | null = null;
  /** An operation failed as planned, and the process that asked for it hears of it now. */
  onError: (life: Life) => void = () => undefined;

  constructor(world: World, random: Prng, times: DiskTimes) {
    this.#world = world;
    this.#random = random;
    this.#times = times;
  }

  /** Nothing reaches the disk until then; what is waiting is done afterwards. */
  stallUntil(atMs: number): void {
    this.#stalledUntilMs = Math.max(this.#stalledUntilMs, atMs);
  }

  /** Until then every sync takes so many times longer. */
  slowUntil(atMs: number, slowness: number): void {
    this.#slowUntilMs = atMs;
    this.#slowness = slowness;
  }

  /**
   * The next sync fails, and the kernel forgets that the file had something to write; or the next write of a file or of the
   * key-value engine fails, and leaves nothing.
   */
  failNext(error: DiskError): void {
    this.#planned = error;
  }

  /** The process died: what it had asked for and not yet got happens or does not. The cache stays. */
  processDied(): void {
    for (const pending of this.#pending) if (this.#random.chance(0.5)) pending.apply();
    this.#pending.clear();
    this.#planned = null;
  }

  /** The power went: only what was synced is certain to be there. To be called after {@link processDied}. */
  powerCut(): void {
    this.#directory.powerCut(this.#random);
    for (const inode of this.#directory.inodes()) inode.powerCut(this.#random);
  }

  /** All faults end; what was lost stays lost. */
  heal(): void {
    this.#stalledUntilMs = 0;
    this.#slowUntilMs = 0;
    this.#planned = null;
  }

  /** What of the file at `path` would survive a power cut now: its durable bytes; null when its name would not. */
  durableBytes(path: string): Buffer | null {
    return this.#directory.durableInode(path)?.durableBytes() ?? null;
  }

  /** Changes whenever the durable names may have changed. */
  get durableNamesVersion(): number {
    return this.#directory.durableVersion;
  }

  /** Durable names in `directory`, ascending. */
  durableNames(directory: string): string[] {
    return this.#directory.durableNames(directory);
  }

  /** Whether exactly `bytes` lie durably at `offset` of the file. */
  isDurable(path: string, offset: number, bytes: Buffer): boolean {
    return this.#directory.durableInode(path)?.holdsDurably(offset, bytes) ?? false;
  }

  /** The file as the kernel has it; null when there is none. */
  writtenBytes(path: string): Buffer | null {
    const inode = this.#directory.inode(path);
    return inode?.read(0, inode.sizeBytes) ?? null;
  }

  /** Whether the kernel has exactly `bytes` at `offset` of the file. */
  isWritten(path: string, offset: number, bytes: Buffer): boolean {
    return this.#directory.inode(path)?.read(offset, bytes.length).equals(bytes) ?? false;
  }

  /** The disk as the process `life` sees it. */
  attach(life: Life): Disk {
    return new AttachedDisk(this, life);
  }

  /** @internal */
  get directory(): SimDirectory {
    return this.#directory;
  }

  #takePlanned(kind: 'write' | 'sync', label: string): Error | null {
    const planned = this.#planned;
    // Not what may be lost: sidecars of the log, and names, which change for them as well. Reads are no writes.
    const matters = kind === 'sync' ? /^(sync |kv sync)/ : /^(write |kv write)/;
    if (planned?.operation !== kind || !matters.test(label) || label.includes('.idx')) return null;
    this.#planned = null;
    return failure(planned, label);
  }

  /** @internal One slow operation: its effect comes after the disk's latency, its answer as soon as the process runs. */
  operate(life: Life, kind: 'write' | 'sync', label: string, effect: () => void): Promise<void> {
    const { writeMinMs, writeMaxMs, syncMinMs, syncMaxMs } = this.#times;
    const [minMs, maxMs] = kind === 'write' ? [writeMinMs, writeMaxMs] : [syncMinMs, syncMaxMs];
    const slow = kind === 'sync' && this.#world.nowMs < this.#slowUntilMs ? this.#slowness : 1;
    const latencyMs = (minMs + this.#random.next() * (maxMs - minMs)) * slow;
    const startMs = Math.max(0, this.#stalledUntilMs - this.#world.nowMs);
    return new Promise<void>((resolve, reject) => {
      const pending: Pending = { apply: effect };
      this.#pending.add(pending);
      this.#world.schedule(startMs + latencyMs, null, label, () => {
        if (!this.#pending.delete(pending)) return;
        const error = this.#takePlanned(kind, label);
        if (error === null) effect();
        const answer = (): void => {
          if (error === null) return resolve();
          this.onError(life);
          reject(error);
        };
        if (life.pausedUntilMs > this.#world.nowMs)
          this.#world.schedule(0, life, 'io done', answer);
        else if (life.alive) answer();
      });
    });
  }
}

function failure({ operation, code }: DiskError, label: string): Error {
  const what = code === 'EIO' ? 'i/o error' : 'no space left on device';
  const syscall = operation === 'sync' ? 'fdatasync' : 'write';
  return Object.assign(new Error(`${code}: ${what}, ${label}`), { code, syscall });
}

function missing(path: string): Error {
  return Object.assign(new Error(`ENOENT: no such file, open '${path}'`), {
    code: 'ENOENT',
    syscall: 'open',
  });
}

class AttachedDisk implements Disk {
  readonly #disk: SimDisk;
  readonly #life: Life;

  constructor(disk: SimDisk, life: Life) {
    this.#disk = disk;
    this.#life = life;
  }

  async open(path: string, options: { readonly create: boolean }): Promise<DiskFile> {
    const { directory } = this.#disk;
    if (options.create && directory.inode(path) === null) directory.create(path, new SimInode());
    return this.openSync(path);
  }

  openSync(path: string): DiskFile {
    const inode = this.#disk.directory.inode(path);
    if (inode === null) throw missing(path);
    return new SimFile(this.#disk, this.#life, path, inode);
  }

  async list(directory: string): Promise<string[]> {
    return this.#disk.directory.names(directory);
  }

  async exists(path: string): Promise<boolean> {
    const { directory } = this.#disk;
    return directory.inode(path) !== null || directory.hasDirectory(path);
  }

  async makeDirectory(path: string): Promise<void> {
    this.#disk.directory.makeDirectory(path);
  }

  rename(from: string, to: string): Promise<void> {
    if (this.#disk.directory.inode(from) === null) return Promise.reject(missing(from));
    return this.#disk.operate(this.#life, 'write', `rename ${from}`, () =>
      this.#disk.directory.rename(from, to),
    );
  }

  unlink(path: string): Promise<void> {
    if (this.#disk.directory.inode(path) === null) return Promise.reject(missing(path));
    return this.#disk.operate(this.#life, 'write', `unlink ${path}`, () =>
      this.#disk.directory.unlink(path),
    );
  }

  removeDirectory(path: string): Promise<void> {
    return this.#disk.operate(this.#life, 'write', `remove ${path}`, () =>
      this.#disk.directory.removeUnder(path),
    );
  }

  syncDirectory(directory: string): Promise<void> {
    const mark = this.#disk.directory.mark(directory);
    return this.#disk.operate(this.#life, 'sync', `sync-dir ${directory}`, () =>
      this.#disk.directory.sync(directory, mark),
    );
  }

  async usage(_path: string): Promise<DiskUsage> {
    return { usedBytes: 0, totalBytes: TOTAL_BYTES, freeBytes: TOTAL_BYTES };
  }
}

class SimFile implements DiskFile {
  readonly path: string;
  readonly #disk: SimDisk;
  readonly #life: Life;
  readonly #inode: SimInode;

  constructor(disk: SimDisk, life: Life, path: string, inode: SimInode) {
    this.#disk = disk;
    this.#life = life;
    this.path = path;
    this.#inode = inode;
  }

  sizeBytes(): number {
    return this.#inode.sizeBytes;
  }

  write(buffers: readonly Buffer[], position: number): Promise<void> {
    return this.#disk.operate(this.#life, 'write', `write ${this.path} @${position}`, () =>
      this.#inode.write(Buffer.concat(buffers), position),
    );
  }

  async read(position: number, lengthBytes: number): Promise<Buffer> {
    return this.#inode.read(position, lengthBytes);
  }

  readSync(position: number, lengthBytes: number): Buffer {
    return this.#inode.read(position, lengthBytes);
  }

  truncate(sizeBytes: number): Promise<void> {
    return this.#disk.operate(this.#life, 'write', `truncate ${this.path} ${sizeBytes}`, () =>
      this.#inode.truncate(sizeBytes),
    );
  }

  sync(): Promise<void> {
    const mark = this.#inode.mark();
    return this.#disk.operate(this.#life, 'sync', `sync ${this.path}`, () =>
      this.#inode.sync(mark),
    );
  }

  async close(): Promise<void> {}
}
