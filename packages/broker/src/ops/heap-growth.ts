import { getHeapStatistics, setFlagsFromString } from 'node:v8';

const LOOK_INTERVAL_MS = 5_000;
/** A heap with no more than this in it may grow by GENEROUS_PERCENT. */
const SMALL_HEAP_BYTES = 64 * 1024 * 1024;
/** How much a heap may grow, buffers outside it included, before it is collected. */
const GENEROUS_PERCENT = 300;
/** What V8 thinks best. */
const DEFAULT_PERCENT = 0;

/**
 * Lets a small heap grow further before it is collected, for the life of the process. Under load a broker's heap is 10 to
 * 25 MiB, and batches pass beside it in buffers of 100 KiB and more: V8 counts both and went through the heap three times a
 * second, a fifth of a follower's CPU. A heap that has become large, of a million timers say, is collected as V8 thinks best,
 * so that garbage is a part of it and not a multiple.
 */
export function letHeapGrow(): void {
  let percent = DEFAULT_PERCENT;
  const look = (): void => {
    const wanted = growthPercent(getHeapStatistics().used_heap_size);
    if (wanted === percent) return;
    percent = wanted;
    setFlagsFromString(`--heap-growing-percent=${percent}`);
  };
  look();
  setInterval(look, LOOK_INTERVAL_MS).unref();
}

/** @param usedBytes of the heap, garbage included */
export function growthPercent(usedBytes: number): number {
  return usedBytes <= SMALL_HEAP_BYTES ? GENEROUS_PERCENT : DEFAULT_PERCENT;
}
