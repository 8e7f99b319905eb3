import { monitorEventLoopDelay, type IntervalHistogram } from 'node:perf_hooks';

const NS_PER_SECOND = 1e9;
const RESOLUTION_MS = 20;

/** How late the event loop is: the first thing to look at when a broker is slow. Measured by the runtime, not by timers. */
export class LoopLag {
  readonly #histogram: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });

  constructor() {
    this.#histogram.enable();
  }

  /** Mean, 99th percentile and maximum since the last call, in seconds; the sampling interval itself is taken off. */
  read(): { readonly mean: number; readonly p99: number; readonly max: number } {
    const histogram = this.#histogram;
    const late = (nanoseconds: number): number =>
      Number.isFinite(nanoseconds)
        ? Math.max(0, nanoseconds / NS_PER_SECOND - RESOLUTION_MS / 1000)
        : 0;
    const result = {
      mean: late(histogram.mean),
      p99: late(histogram.percentile(99)),
      max: late(histogram.max),
    };
    histogram.reset();
    return result;
  }

  close(): void {
    this.#histogram.disable();
  }
}
