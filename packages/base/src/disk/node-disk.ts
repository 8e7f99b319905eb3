import * as fs from 'node:fs';
import { dirname } from 'node:path';
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
    const first = await fs.promises.mkdir(path, { recursive: true, mode: DIRECTORY_MODE });
    if (first !== undefined) await nodeDisk.syncDirectory(dirname(first));
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
  readonly #fd: number;
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
      const done = (end: number): void => {
        if (end > this.#sizeBytes) this.#sizeBytes = end;
        resolve();
      };
      const writeFrom = (pending: readonly Buffer[], at: number): void => {
        fs.writev(this.#fd, pending, at, (error, writtenBytes) => {
          if (error !== null) return reject(error);
          let left = writtenBytes;
          let i = 0;
          while (i < pending.length && left >= pending[i]!.length) left -= pending[i++]!.length;
          if (i === pending.length) return done(at + writtenBytes);
          writeFrom([pending[i]!.subarray(left), ...pending.slice(i + 1)], at + writtenBytes);
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
        this.#fd,
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
      fs.read(this.#fd, buffer, at, buffer.length - at, position, (error, bytesRead) =>
        error === null ? resolve(bytesRead) : reject(error),
      );
    });
  }

  async truncate(sizeBytes: number): Promise<void> {
    await settled((done) => fs.ftruncate(this.#fd, sizeBytes, done));
    this.#sizeBytes = sizeBytes;
  }

  sync(): Promise<void> {
    return settled((done) => fs.fdatasync(this.#fd, done));
  }

  close(): Promise<void> {
    return settled((done) => fs.close(this.#fd, done));
  }
}

function settled(call: (done: (error?: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    call((error) => (error === null || error === undefined ? resolve() : reject(error)));
  });
}
