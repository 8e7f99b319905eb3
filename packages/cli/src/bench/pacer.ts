/** One request of the load. @param intendedMs when it should start, on the clock of `performance.now` */
export type IssueRequest = (intendedMs: number) => Promise<void>;

export interface PacerOptions {
  /** Requests under way at the same time, at most. */
  readonly concurrency: number;
  /** Requests per second; 0 = the next one starts when one ends. */
  readonly requestsPerSecond: number;
  readonly durationMs: number;
  readonly signal: AbortSignal;
}

/**
 * Starts requests for a while. With a rate, start times are fixed in advance, and a late start does not move the later
 * ones: latency counted from the intended time then includes the wait that a slow server causes (no coordinated
 * omission). Resolves when all requests have ended.
 * @returns requests that were due but not started, because all `concurrency` places were taken until the end
 */
export function runLoad(options: PacerOptions, issue: IssueRequest): Promise<number> {
  return new LoadLoop(options, issue).run();
}

const TICK_MS = 1;

class LoadLoop {
  readonly #options: PacerOptions;
  readonly #issue: IssueRequest;
  readonly #startMs = performance.now();
  readonly #endMs: number;
  #issued = 0;
  #inFlight = 0;
  #timer: NodeJS.Timeout | null = null;
  #finish: (notStarted: number) => void = () => undefined;

  constructor(options: PacerOptions, issue: IssueRequest) {
    this.#options = options;
    this.#issue = issue;
    this.#endMs = this.#startMs + options.durationMs;
  }

  run(): Promise<number> {
    return new Promise((resolve) => {
      this.#finish = resolve;
      this.#pump();
    });
  }

  #pump(): void {
    const nowMs = performance.now();
    const over = nowMs >= this.#endMs || this.#options.signal.aborted;
    if (over) {
      if (this.#inFlight === 0) this.#finish(this.#notStarted());
      return;
    }
    const { concurrency, requestsPerSecond } = this.#options;
    while (this.#inFlight < concurrency) {
      const intendedMs =
        requestsPerSecond === 0 ? nowMs : this.#startMs + (this.#issued * 1000) / requestsPerSecond;
      if (intendedMs > nowMs) break;
      this.#issued++;
      this.#inFlight++;
      void this.#issue(intendedMs).finally(() => {
        this.#inFlight--;
        this.#pump();
      });
    }
    // Answers drive a closed loop; a rate needs the clock as well.
    if (requestsPerSecond > 0) {
      this.#timer ??= setTimeout(() => {
        this.#timer = null;
        this.#pump();
      }, TICK_MS);
    }
  }

  #notStarted(): number {
    const { requestsPerSecond, durationMs, signal } = this.#options;
    if (requestsPerSecond === 0 || signal.aborted) return 0;
    return Math.max(0, Math.floor((durationMs * requestsPerSecond) / 1000) - this.#issued);
  }
}
