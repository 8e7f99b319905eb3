import * as fs from 'node:fs';
import { dirname, resolve as resolvePath } from 'node:path';
import type { Disk, DiskFile, DiskUsage } from './disk.js';

const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

/** The real disk, over node:fs. */
export const nodeDisk: Disk = {
  async open(path, { create }) {
    const flags = fs.constants.O_RDWR | (create ? fs.constants.O_CREAT : 0);
    const fd = await new Promise<number>((resolve, reject) => {
      fs.open(path, flags, FILE_MODE, (error, opened) =>
        error === null ? resolve(opened) : reject(error),
      );
    });
    return new NodeDiskFile(path, fd, fs.fstatSync(fd).size);
  },
  openSync(path) {
    const fd = fs.openSync(path, fs.constants.O_RDWR);
    return new NodeDiskFile(path, fd, fs.fstatSync(fd).size);
  },
  async list(directory) {
    try {
      return (await fs.promises.readdir(directory)).sort();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  },
  async exists(path) {
    return fs.existsSync(path);
  },
  async makeDirectory(path) {
    const whole = resolvePath(path);
    const first = await fs.promises.mkdir(whole, { recursive: true, mode: DIRECTORY_MODE });
    if (first === undefined) return;
    // Each new directory is an entry in its parent, and every parent has to remember it.
    for (let created = whole; created.length >= first.length; created = dirname(created)) {
      await nodeDisk.syncDirectory(dirname(created));
    }
  },
  rename: (from, to) => fs.promises.rename(from, to),
  unlink: (path) => fs.promises.unlink(path),
  removeDirectory: (path) => fs.promises.rm(path, { recursive: true, force: true }),
  async syncDirectory(directory) {
    const handle = await fs.promises.open(directory, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  async usage(path): Promise<DiskUsage> {
    const stats = await fs.promises.statfs(path);
    const totalBytes = stats.blocks * stats.bsize;
    const freeBytes = stats.bavail * stats.bsize;
    return { totalBytes, freeBytes, usedBytes: totalBytes - freeBytes };
  },
};

class NodeDiskFile implements DiskFile {
  readonly path: string;
  /** -1 once closed: the number may by then name another file. */
  #fd: number;
  #sizeBytes: number;

  constructor(path: string, fd: number, sizeBytes: number) {
    this.path = path;
    this.#fd = fd;
    this.#sizeBytes = sizeBytes;
  }

  sizeBytes(): number {
    return this.#sizeBytes;
  }

  write(buffers: readonly Buffer[], position: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const writeFrom = (pending: readonly Buffer[], at: number): void => {
        fs.writev(this.#open(), pending, at, (error, writtenBytes) => {
          if (error !== null) return reject(error);
          const rest = without(pending, writtenBytes);
          if (rest.length > 0) {
            if (writtenBytes === 0)
              return reject(new Error(`the disk took no more bytes at ${at}`));
            return writeFrom(rest, at + writtenBytes);
          }
          this.#sizeBytes = Math.max(this.#sizeBytes, at + writtenBytes);
          resolve();
        });
      };
      writeFrom(buffers, position);
    });
  }

  async read(position: number, lengthBytes: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(lengthBytes);
    let filled = 0;
    while (filled < lengthBytes) {
      const bytesRead = await this.#readInto(buffer, filled, position + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return buffer.subarray(0, filled);
  }

  readSync(position: number, lengthBytes: number): Buffer {
    const buffer = Buffer.allocUnsafe(lengthBytes);
    let filled = 0;
    while (filled < lengthBytes) {
      const bytesRead = fs.readSync(
        this.#open(),
        buffer,
        filled,
        lengthBytes - filled,
        position + filled,
      );
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return buffer.subarray(0, filled);
  }

  #readInto(buffer: Buffer, at: number, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.read(this.#open(), buffer, at, buffer.length - at, position, (error, bytesRead) =>
        error === null ? resolve(bytesRead) : reject(error),
      );
    });
  }

  async truncate(sizeBytes: number): Promise<void> {
    await settled((done) => fs.ftruncate(this.#open(), sizeBytes, done));
    this.#sizeBytes = sizeBytes;
  }

  sync(): Promise<void> {
    return settled((done) => fs.fdatasync(this.#open(), done));
  }

  async close(): Promise<void> {
    const fd = this.#open();
    this.#fd = -1;
    await settled((done) => fs.close(fd, done));
  }

  #open(): number {
    if (this.#fd < 0) throw new Error(`${this.path} is closed`);
    return this.#fd;
  }
}

function settled(call: (done: (error?: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    call((error) => (error === null || error === undefined ? resolve() : reject(error)));
  });
}

/** What is left of `buffers` behind their first `sizeBytes` bytes, empty ones dropped. */
function without(buffers: readonly Buffer[], sizeBytes: number): readonly Buffer[] {
  let left = sizeBytes;
  let i = 0;
  while (i < buffers.length && left >= buffers[i]!.length) left -= buffers[i++]!.length;
  if (i === buffers.length) return [];
  return [buffers[i]!.subarray(left), ...buffers.slice(i + 1)];
}
