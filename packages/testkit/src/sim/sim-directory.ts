import { type Prng } from '@raftmq/base';
import { type SimInode } from './sim-inode.js';

/** One change of names that happens as a whole: null takes a name away. */
type NameChange = readonly (readonly [path: string, inode: SimInode | null])[];

/** Paths to files, by directory. */
class NameTable {
  readonly #directories = new Map<string, Map<string, SimInode>>();
  /** Grows with every change. */
  version = 0;

  get(path: string): SimInode | null {
    const slash = path.lastIndexOf('/');
    return this.#directories.get(path.slice(0, slash))?.get(path.slice(slash + 1)) ?? null;
  }

  set(path: string, inode: SimInode): void {
    const slash = path.lastIndexOf('/');
    const directory = path.slice(0, slash);
    const names = this.#directories.get(directory) ?? new Map<string, SimInode>();
    this.version++;
    this.#directories.set(directory, names);
    names.set(path.slice(slash + 1), inode);
  }

  delete(path: string): void {
    const slash = path.lastIndexOf('/');
    this.version++;
    this.#directories.get(path.slice(0, slash))?.delete(path.slice(slash + 1));
  }

  makeDirectory(path: string): void {
    this.version++;
    for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) {
      const directory = path.slice(0, end);
      if (!this.#directories.has(directory)) this.#directories.set(directory, new Map());
    }
  }

  /** Takes away `directory` and the directories below it; their files are gone before. */
  removeDirectory(directory: string): void {
    this.version++;
    for (const other of [...this.#directories.keys()]) {
      if (other === directory || other.startsWith(directory + '/')) this.#directories.delete(other);
    }
  }

  hasDirectory(directory: string): boolean {
    return this.#directories.has(directory);
  }

  /** Names of files and directories right below `directory`, ascending. */
  names(directory: string): string[] {
    const found = [...(this.#directories.get(directory)?.keys() ?? [])];
    for (const other of this.#directories.keys()) {
      if (other.startsWith(directory + '/')) {
        found.push(other.slice(directory.length + 1).split('/')[0]!);
      }
    }
    return [...new Set(found)].sort();
  }

  /** Every path with its file. */
  *entries(): Iterable<readonly [path: string, inode: SimInode]> {
    for (const [directory, names] of this.#directories) {
      for (const [name, inode] of names) yield [`${directory}/${name}`, inode];
    }
  }

  replaceWith(other: NameTable): void {
    this.version++;
    this.#directories.clear();
    for (const [directory, names] of other.#directories)
      this.#directories.set(directory, new Map(names));
  }
}

/** The names of one disk, as processes see them and as they would be after a power cut. */
export class SimDirectory {
  readonly #names = new NameTable();
  readonly #durable = new NameTable();
  /** Changes behind the last sync of their directory, in order. */
  readonly #changes = new Map<string, NameChange[]>();

  /** Changes whenever names may have changed, as processes see them. */
  get version(): number {
    return this.#names.version;
  }

  /** Changes whenever the durable names may have changed. */
  get durableVersion(): number {
    return this.#durable.version;
  }

  inode(path: string): SimInode | null {
    return this.#names.get(path);
  }

  durableInode(path: string): SimInode | null {
    return this.#durable.get(path);
  }

  /** Every file that still has a name. */
  inodes(): Set<SimInode> {
    return new Set([...this.#names.entries()].map(([, inode]) => inode));
  }

  names(directory: string): string[] {
    return this.#names.names(directory);
  }

  durableNames(directory: string): string[] {
    return this.#durable.names(directory);
  }

  hasDirectory(path: string): boolean {
    return this.#names.hasDirectory(path);
  }

  /** Durable at once: only names of files can be lost. */
  makeDirectory(path: string): void {
    this.#names.makeDirectory(path);
    this.#durable.makeDirectory(path);
  }

  create(path: string, inode: SimInode): void {
    this.#change(parentOf(path), [[path, inode]]);
  }

  rename(from: string, to: string): void {
    const inode = this.#names.get(from);
    if (inode === null) return;
    this.#change(parentOf(to), [
      [from, null],
      [to, inode],
    ]);
  }

  unlink(path: string): void {
    this.#change(parentOf(path), [[path, null]]);
  }

  /** Removes `directory` and all names below it. */
  removeUnder(directory: string): void {
    const paths = [...this.#names.entries()].map(([path]) => path);
    for (const path of paths.sort()) if (path.startsWith(directory + '/')) this.unlink(path);
    this.#names.removeDirectory(directory);
  }

  /** How far a sync of `directory` that is called now reaches. */
  mark(directory: string): number {
    return this.#changes.get(directory)?.length ?? 0;
  }

  /** Makes the first `count` changes durable. Two syncs of one directory under way at a time do no harm. */
  sync(directory: string, count: number): void {
    const changes = this.#changes.get(directory);
    if (changes === undefined || changes.length === 0) return;
    for (const change of changes.splice(0, count)) apply(this.#durable, change);
  }

  /** A prefix of each directory's changes survives, as a journal replays them. */
  powerCut(random: Prng): void {
    for (const directory of [...this.#changes.keys()].sort()) {
      const changes = this.#changes.get(directory)!;
      this.sync(directory, random.chance(0.4) ? 0 : random.integer(0, changes.length));
    }
    this.#changes.clear();
    this.#names.replaceWith(this.#durable);
  }

  #change(directory: string, change: NameChange): void {
    apply(this.#names, change);
    const changes = this.#changes.get(directory);
    if (changes === undefined) this.#changes.set(directory, [change]);
    else changes.push(change);
  }
}

function apply(names: NameTable, change: NameChange): void {
  for (const [path, inode] of change) {
    if (inode === null) names.delete(path);
    else names.set(path, inode);
  }
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}
