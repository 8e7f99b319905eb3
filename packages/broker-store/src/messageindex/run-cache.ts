import { type RunFile } from './run-file.js';

/** Files kept open, and memory for their fences. */
const OPEN_RUNS_MAX = 64;
const FENCES_SIZE_BYTES_MAX = 8 * 1024 * 1024;

/** Keeps the runs that were read most recently open; closes the others once nobody reads them. */
export class RunCache {
  /** Least recently used first. */
  readonly #loaded = new Set<RunFile>();
  #fencesSizeBytes = 0;

  /**
   * Calls `work` while the run is loaded.
   * @throws RunDamaged
   */
  async use<T>(run: RunFile, work: () => Promise<T>): Promise<T> {
    run.readers++;
    try {
      await run.load();
      this.#touch(run);
      return await work();
    } finally {
      run.readers--;
      await this.#evict();
    }
  }

  /** Closes a run that nobody reads. */
  async drop(run: RunFile): Promise<void> {
    if (this.#loaded.delete(run)) this.#fencesSizeBytes -= run.fenceSizeBytes;
    await run.unload();
  }

  async close(): Promise<void> {
    for (const run of [...this.#loaded]) await this.drop(run);
  }

  #touch(run: RunFile): void {
    if (!this.#loaded.delete(run)) this.#fencesSizeBytes += run.fenceSizeBytes;
    this.#loaded.add(run);
  }

  async #evict(): Promise<void> {
    for (const run of this.#loaded) {
      const full =
        this.#loaded.size > OPEN_RUNS_MAX || this.#fencesSizeBytes > FENCES_SIZE_BYTES_MAX;
      if (!full) return;
      if (run.readers === 0) await this.drop(run);
    }
  }
}
