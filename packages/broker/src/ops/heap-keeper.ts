import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const MIB = 1024 * 1024;
const LOOK_INTERVAL_MS = 5_000;
/** A heap with no more than this in it may grow by GENEROUS_PERCENT. */
const SMALL_HEAP_BYTES = 64 * MIB;
/** How much a heap may grow, buffers outside it included, before it is collected. */
const GENEROUS_PERCENT = 300;
/** What V8 thinks best. */
const DEFAULT_PERCENT = 0;
/** A process that allocates no more than this between two looks is quiet. */
const QUIET_BYTES = 4 * MIB;
const QUIET_LOOKS = 2;
/** Memory that may stay taken while it is quiet, beyond what the last collection left in use. */
const SPARE_BYTES = 16 * MIB;
/** A larger heap is not collected here: it would hold the process up for too long. */
const COLLECTED_BYTES_MAX = 128 * MIB;

/** What the keeper looks at and does. */
export interface Heap {
  /** Bytes in use, garbage included, and bytes taken from the system. */
  statistics(): { readonly usedBytes: number; readonly totalBytes: number };
  /** 0 = what V8 thinks best. */
  setGrowthPercent(percent: number): void;
  /** Collects all garbage, at once: some 20 ms for a heap of 20 MiB. */
  collect(): void;
}

/**
 * Keeps the JavaScript heap of a broker cheap under load, and small when there is none.
 *
 * Under load a broker's heap is 10 to 25 MiB, and batches pass beside it in buffers of 100 KiB and more: V8 counts both and
 * went through the heap three times a second, a fifth of a follower's CPU. So a small heap may grow to a multiple of itself
 * before it is collected. One that has become large, of a million timers say, is collected as V8 thinks best: garbage is
 * a part of it and not a multiple.
 *
 * When nothing is allocated nothing is collected either, and what a burst took stays taken: after two quiet looks the
 * keeper collects once.
 */
export class HeapKeeper {
  readonly #heap: Heap;
  #growthPercent = DEFAULT_PERCENT;
  #usedBytes: number;
  #keptBytes = 0;
  #quietLooks = 0;

  constructor(heap: Heap) {
    this.#heap = heap;
    this.#usedBytes = heap.statistics().usedBytes;
  }

  /** Looks for the life of the process. */
  static start(): void {
    const keeper = new HeapKeeper(v8Heap());
    keeper.look();
    setInterval(() => keeper.look(), LOOK_INTERVAL_MS).unref();
  }

  look(): void {
    const { usedBytes, totalBytes } = this.#heap.statistics();
    this.#setGrowth(usedBytes);
    // Less than before: V8 collected, so something had been allocated.
    const grownBytes = usedBytes - this.#usedBytes;
    this.#usedBytes = usedBytes;
    this.#quietLooks = grownBytes >= 0 && grownBytes <= QUIET_BYTES ? this.#quietLooks + 1 : 0;
    if (this.#quietLooks < QUIET_LOOKS || usedBytes > COLLECTED_BYTES_MAX) return;
    if (totalBytes - this.#keptBytes <= SPARE_BYTES) return;
    this.#heap.collect();
    const after = this.#heap.statistics();
    this.#usedBytes = after.usedBytes;
    this.#keptBytes = after.totalBytes;
    this.#quietLooks = 0;
  }

  #setGrowth(usedBytes: number): void {
    const percent = usedBytes <= SMALL_HEAP_BYTES ? GENEROUS_PERCENT : DEFAULT_PERCENT;
    if (percent === this.#growthPercent) return;
    this.#growthPercent = percent;
    this.#heap.setGrowthPercent(percent);
  }
}

function v8Heap(): Heap {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  return {
    statistics: () => {
      const { used_heap_size, total_heap_size } = getHeapStatistics();
      return { usedBytes: used_heap_size, totalBytes: total_heap_size };
    },
    setGrowthPercent: (percent) => setFlagsFromString(`--heap-growing-percent=${percent}`),
    collect: () => collect(),
  };
}
