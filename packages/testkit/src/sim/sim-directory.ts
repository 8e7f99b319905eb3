import { type Prng } from '@raftmq/base';
import { type SimInode } from './sim-inode.js';

/** One change of names that happens as a whole: null takes a name away. */
type NameChange = readonly (readonly [path: string, inode: SimInode | null])[];

/** The names of one disk, as processes see them and as they would be after a power cut. */
export class SimDirectory {
  readonly #names = new Map<string, SimInode>();
  readonly #durable = new Map<string, SimInode>();
  /** Changes behind the last sync of their directory, in order. */
  readonly #changes = new Map<string, NameChange[]>();

  #durableVersion = 0;

  /** Changes whenever the durable names may have changed. */
  get durableVersion(): number {
    return this.#durableVersion;
  }

  inode(path: string): SimInode | null {
    return this.#names.get(path) ?? null;
  }

  durableInode(path: string): SimInode | null {
    return this.#durable.get(path) ?? null;
  }

  /** Every file that still has a name. */
  inodes(): Set<SimInode> {
    return new Set(this.#names.values());
  }

  names(directory: string): string[] {
    return namesIn(this.#names, directory);
  }

  durableNames(directory: string): string[] {
    return namesIn(this.#durable, directory);
  }

  create(path: string, inode: SimInode): void {
    this.#change(parentOf(path), [[path, inode]]);
  }

  rename(from: string, to: string): void {
    const inode = this.#names.get(from);
    if (inode === undefined) return;
    this.#change(parentOf(to), [
      [from, null],
      [to, inode],
    ]);
  }

  unlink(path: string): void {
    this.#change(parentOf(path), [[path, null]]);
  }

  /** Removes all names below `directory`. */
  removeUnder(directory: string): void {
    for (const path of [...this.#names.keys()].sort())
      if (path.startsWith(directory + '/')) this.unlink(path);
  }

  /** How far a sync of `directory` that is called now reaches. */
  mark(directory: string): number {
    return this.#changes.get(directory)?.length ?? 0;
  }

  /** Makes the first `count` changes durable. Two syncs of one directory under way at a time do no harm. */
  sync(directory: string, count: number): void {
    const changes = this.#changes.get(directory);
    if (changes === undefined) return;
    this.#durableVersion++;
    for (const change of changes.splice(0, count)) apply(this.#durable, change);
  }

  /** A prefix of each directory's changes survives, as a journal replays them. */
  powerCut(random: Prng): void {
    for (const directory of [...this.#changes.keys()].sort()) {
      const changes = this.#changes.get(directory)!;
      this.sync(directory, random.chance(0.4) ? 0 : random.integer(0, changes.length));
    }
    this.#changes.clear();
    this.#names.clear();
    for (const [path, inode] of this.#durable) this.#names.set(path, inode);
  }

  #change(directory: string, change: NameChange): void {
    apply(this.#names, change);
    const changes = this.#changes.get(directory);
    if (changes === undefined) this.#changes.set(directory, [change]);
    else changes.push(change);
  }
}

function apply(names: Map<string, SimInode>, change: NameChange): void {
  for (const [path, inode] of change) {
    if (inode === null) names.delete(path);
    else names.set(path, inode);
  }
}

function namesIn(names: ReadonlyMap<string, SimInode>, directory: string): string[] {
  const prefix = directory.endsWith('/') ? directory : directory + '/';
  const found = new Set<string>();
  for (const path of names.keys()) {
    if (path.startsWith(prefix)) found.add(path.slice(prefix.length).split('/')[0]!);
  }
  return [...found].sort();
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}
