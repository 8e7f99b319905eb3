import { type Prng } from '@raftmq/base';

const PAGE_BYTES = 4096;
const SECTOR_BYTES = 512;

type Change =
  | { readonly kind: 'write'; readonly position: number; readonly data: Buffer }
  | { readonly kind: 'truncate'; readonly sizeBytes: number };

/** Bytes that grow on demand; everything behind the end reads as zero. */
class Bytes {
  #buffer = Buffer.alloc(1024);
  sizeBytes = 0;

  write(data: Buffer, position: number): void {
    const end = position + data.length;
    this.#reserve(end);
    data.copy(this.#buffer, position);
    if (end > this.sizeBytes) this.sizeBytes = end;
  }

  resize(sizeBytes: number): void {
    this.#reserve(sizeBytes);
    if (sizeBytes < this.sizeBytes) this.#buffer.fill(0, sizeBytes, this.sizeBytes);
    this.sizeBytes = sizeBytes;
  }

  /** A view. */
  view(position: number, lengthBytes: number): Buffer {
    return this.#buffer.subarray(
      Math.min(position, this.sizeBytes),
      Math.min(position + lengthBytes, this.sizeBytes),
    );
  }

  #reserve(sizeBytes: number): void {
    if (sizeBytes <= this.#buffer.length) return;
    const grown = Buffer.alloc(Math.max(sizeBytes, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.sizeBytes);
    this.#buffer = grown;
  }
}

/**
 * One file: what the cache shows, what the platter holds, and the changes in between.
 *
 *   changes:  w1 t2 w3 | w4 w5          a sync called at the bar makes w1 t2 w3 durable, in order
 *   power cut: sizes follow a prefix of the changes, as a journal replays them; every page of data behind the last sync
 *              is by itself kept, dropped, or torn after some of its 512-byte sectors
 */
export class SimInode {
  readonly #cache = new Bytes();
  readonly #platter = new Bytes();
  #changes: Change[] = [];
  /** Number of changes made durable or forgotten before `#changes[0]`. */
  #settled = 0;

  /** As the process sees it. */
  get sizeBytes(): number {
    return this.#cache.sizeBytes;
  }

  write(data: Buffer, position: number): void {
    this.#cache.write(data, position);
    this.#changes.push({ kind: 'write', position, data });
  }

  truncate(sizeBytes: number): void {
    this.#cache.resize(sizeBytes);
    this.#changes.push({ kind: 'truncate', sizeBytes });
  }

  /** A copy. */
  read(position: number, lengthBytes: number): Buffer {
    return Buffer.from(this.#cache.view(position, lengthBytes));
  }

  /** How far a sync that is called now reaches. */
  mark(): number {
    return this.#settled + this.#changes.length;
  }

  /** Makes the changes before `mark` durable. */
  sync(mark: number): void {
    const count = Math.max(0, mark - this.#settled);
    for (let i = 0; i < count; i++) apply(this.#platter, this.#changes[i]!);
    this.#changes = this.#changes.slice(count);
    this.#settled += count;
  }

  durableBytes(): Buffer {
    return Buffer.from(this.#platter.view(0, this.#platter.sizeBytes));
  }

  holdsDurably(offset: number, bytes: Buffer): boolean {
    return this.#platter.view(offset, bytes.length).equals(bytes);
  }

  powerCut(random: Prng): void {
    if (this.#changes.length === 0 && this.#cache.sizeBytes === this.#platter.sizeBytes) {
      // Nothing was changed since the last sync, unless a failed sync dropped it: then cache and platter differ.
      if (
        this.#cache
          .view(0, this.#cache.sizeBytes)
          .equals(this.#platter.view(0, this.#platter.sizeBytes))
      )
        return;
    }
    const keep = random.pick(KEEP_SHARES);
    const sizesThrough = random.integer(0, this.#changes.length);
    this.#changes.forEach((change, i) => {
      if (change.kind === 'truncate') {
        if (i < sizesThrough) this.#platter.resize(change.sizeBytes);
        return;
      }
      const end = change.position + change.data.length;
      if (i < sizesThrough && end > this.#platter.sizeBytes) this.#platter.resize(end);
      this.#keepPages(change.data, change.position, keep, random);
    });
    this.#settled += this.#changes.length;
    this.#changes = [];
    this.#cache.resize(0);
    this.#cache.write(this.#platter.view(0, this.#platter.sizeBytes), 0);
  }

  #keepPages(data: Buffer, position: number, keep: number, random: Prng): void {
    const end = Math.min(position + data.length, this.#platter.sizeBytes);
    for (let at = position; at < end; at = pageEnd(at)) {
      const through = Math.min(pageEnd(at), end);
      if (!random.chance(keep)) continue;
      const tornAt = random.chance(0.3)
        ? at - (at % SECTOR_BYTES) + SECTOR_BYTES * random.integer(0, 7)
        : through;
      const keptEnd = Math.min(through, tornAt);
      if (keptEnd > at) this.#platter.write(data.subarray(at - position, keptEnd - position), at);
    }
  }
}

/** Shares of un-synced pages that survive, one drawn per file and cut. */
const KEEP_SHARES: readonly number[] = [0, 0, 0.3, 0.7, 1];

function pageEnd(at: number): number {
  return at - (at % PAGE_BYTES) + PAGE_BYTES;
}

function apply(target: Bytes, change: Change): void {
  if (change.kind === 'write') target.write(change.data, change.position);
  else target.resize(change.sizeBytes);
}
