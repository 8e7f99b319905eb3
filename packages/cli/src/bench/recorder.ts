import { build, type Histogram } from 'hdr-histogram-js';
import { type Output } from '../output.js';

/** Counts outcomes and latencies of one benchmark; latencies in an HDR histogram of microseconds, three digits. */
export class LoadRecorder {
  /** Messages. */
  ok = 0;
  failed = 0;
  /** Mean size of a body. */
  sizeBytes: number;
  readonly #latencyUs: Histogram = makeHistogram();
  readonly #secondUs: Histogram = makeHistogram();
  #firstFailure = '';
  #secondOk = 0;

  constructor(sizeBytes: number) {
    this.sizeBytes = sizeBytes;
  }

  succeeded(messages: number, latencyMs: number): void {
    const value = Math.min(LATENCY_US_MAX, Math.max(1, Math.round(latencyMs * 1000)));
    this.ok += messages;
    this.#latencyUs.recordValueWithCount(value, messages);
    this.#secondUs.recordValueWithCount(value, messages);
  }

  failedWith(messages: number, reason: string): void {
    this.failed += messages;
    if (this.#firstFailure === '') this.#firstFailure = reason;
  }

  /** One line about the time since the last one. */
  progress(elapsedMs: number, intervalMs: number): string {
    const rate = ((this.ok - this.#secondOk) * 1000) / intervalMs;
    const p99 =
      this.#secondUs.totalCount === 0 ? 0 : this.#secondUs.getValueAtPercentile(99) / 1000;
    this.#secondOk = this.ok;
    this.#secondUs.reset();
    return (
      `${(elapsedMs / 1000).toFixed(0).padStart(4)} s  ${grouped(rate).padStart(10)} msg/s  ` +
      `p99 ${p99.toFixed(2)} ms  failed ${this.failed}`
    );
  }

  /** @param elapsedMs time in which `ok` messages were done */
  result(elapsedMs: number): LoadResult {
    const perSecond = elapsedMs > 0 ? (this.ok * 1000) / elapsedMs : 0;
    const at = (percentile: number): number =>
      this.#latencyUs.totalCount === 0
        ? 0
        : this.#latencyUs.getValueAtPercentile(percentile) / 1000;
    return {
      ok: this.ok,
      failed: this.failed,
      messagesPerSecond: Math.round(perSecond * 10) / 10,
      bytesPerSecond: Math.round(perSecond * this.sizeBytes),
      latencyMs: {
        p50: at(50),
        p99: at(99),
        p999: at(99.9),
        max: this.#latencyUs.totalCount === 0 ? 0 : this.#latencyUs.maxValue / 1000,
      },
    };
  }

  /** Why the first failed message failed; '' when none did. */
  get firstFailure(): string {
    return this.#firstFailure;
  }
}

/** The last line of `raftmq bench … --json`; its names and order are fixed. */
export interface LoadResult {
  readonly ok: number;
  readonly failed: number;
  readonly messagesPerSecond: number;
  readonly bytesPerSecond: number;
  readonly latencyMs: {
    readonly p50: number;
    readonly p99: number;
    readonly p999: number;
    readonly max: number;
  };
}

const LATENCY_US_MAX = 600_000_000;

function makeHistogram(): Histogram {
  return build({
    bitBucketSize: 64,
    lowestDiscernibleValue: 1,
    highestTrackableValue: LATENCY_US_MAX,
    numberOfSignificantValueDigits: 3,
    autoResize: false,
    useWebAssembly: false,
  });
}

/** Prints a result as its last line of JSON, or for people. @returns the exit code */
export function printResult(
  output: Output,
  recorder: LoadRecorder,
  elapsedMs: number,
  json: boolean,
): number {
  const result = recorder.result(elapsedMs);
  if (recorder.failed > 0) output.note(`first failure: ${recorder.firstFailure}`);
  if (json) {
    output.data(JSON.stringify(result));
  } else {
    const { p50, p99, p999, max } = result.latencyMs;
    output.data(`${grouped(result.ok)} messages done, ${grouped(result.failed)} failed`);
    output.data(
      `${grouped(result.messagesPerSecond)} messages/s, ${(result.bytesPerSecond / 1e6).toFixed(1)} MB/s`,
    );
    output.data(
      `latency p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, p99.9 ${p999.toFixed(2)} ms, max ${max.toFixed(2)} ms`,
    );
  }
  return result.ok > 0 ? 0 : 1;
}

function grouped(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',');
}
