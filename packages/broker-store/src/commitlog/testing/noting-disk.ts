import { basename } from 'node:path';
import { nodeDisk, type Disk, type DiskFile } from '@raftmq/base';

/**
 * The real disk with every change noted in order, as `write name`, `sync name`, `truncate name`, `unlink name`. A call
 * for which `failAt` is true rejects instead, and a gate can hold syncs back.
 */
export class NotingDisk implements Disk {
  readonly notes: string[] = [];
  failAt: (note: string) => boolean = () => false;
  /** Error code of the failures. */
  failCode = 'EIO';
  #gate: Promise<void> | null = null;
  #openGate: () => void = () => undefined;

  /** From now on syncs of files wait. */
  holdSyncs(): void {
    this.#gate = new Promise((resolve) => {
      this.#openGate = resolve;
    });
  }

  releaseSyncs(): void {
    this.#gate = null;
    this.#openGate();
  }

  readonly list = (directory: string): Promise<string[]> => nodeDisk.list(directory);
  readonly exists = (path: string): Promise<boolean> => nodeDisk.exists(path);
  readonly makeDirectory = (path: string): Promise<void> => nodeDisk.makeDirectory(path);
  readonly removeDirectory = (path: string): Promise<void> => nodeDisk.removeDirectory(path);
  readonly usage: Disk['usage'] = (path) => nodeDisk.usage(path);
  readonly openSync = (path: string): DiskFile => this.#wrap(nodeDisk.openSync(path));

  async open(path: string, options: { readonly create: boolean }): Promise<DiskFile> {
    const existed = await nodeDisk.exists(path);
    if (!existed && options.create) this.#note('create', path);
    return this.#wrap(await nodeDisk.open(path, options));
  }

  async rename(from: string, to: string): Promise<void> {
    this.#note('rename', to);
    await nodeDisk.rename(from, to);
  }

  async unlink(path: string): Promise<void> {
    this.#note('unlink', path);
    await nodeDisk.unlink(path);
  }

  async syncDirectory(directory: string): Promise<void> {
    this.#note('syncdir', directory);
    await nodeDisk.syncDirectory(directory);
  }

  #note(what: string, path: string): void {
    const note = `${what} ${basename(path).replace(/^0+(?=\d)/, '')}`;
    this.notes.push(note);
    if (this.failAt(note)) {
      throw Object.assign(new Error(`${this.failCode}: injected, ${note}`), {
        code: this.failCode,
      });
    }
  }

  #wrap(file: DiskFile): DiskFile {
    const { path } = file;
    return {
      path,
      sizeBytes: () => file.sizeBytes(),
      read: (position, lengthBytes) => file.read(position, lengthBytes),
      readSync: (position, lengthBytes) => file.readSync(position, lengthBytes),
      close: () => file.close(),
      write: async (buffers, position) => {
        this.#note(position < 12_288 ? 'mark' : 'write', path);
        await file.write(buffers, position);
      },
      truncate: async (sizeBytes) => {
        this.#note('truncate', path);
        await file.truncate(sizeBytes);
      },
      sync: async () => {
        this.#note('sync', path);
        await this.#gate;
        await file.sync();
      },
    };
  }
}
