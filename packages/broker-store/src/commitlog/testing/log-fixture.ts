import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  loadConfig,
  nodeDisk,
  silentLogger,
  type Clock,
  type Disk,
  type MqError,
} from '@raftmq/base';
import { type Entry } from '@raftmq/raft';
import { CommitLog } from '../commit-log.js';
import { commitLogSettings } from '../settings.js';

/** A clock that moves when told to. */
export class ManualClock implements Clock {
  nowMs = 1_000_000;
  #timers: { readonly atMs: number; readonly fire: () => void }[] = [];

  monotonicMs(): number {
    return this.nowMs;
  }

  wallMs(): number {
    return this.nowMs;
  }

  setTimer(delayMs: number, fire: () => void): () => void {
    const timer = { atMs: this.nowMs + delayMs, fire };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  get timerCount(): number {
    return this.#timers.length;
  }

  advance(byMs: number): void {
    this.nowMs += byMs;
    const due = this.#timers.filter(({ atMs }) => atMs <= this.nowMs);
    this.#timers = this.#timers.filter(({ atMs }) => atMs > this.nowMs);
    for (const { fire } of due) fire();
  }
}

/** A temporary directory with a log in it. */
export class LogFixture {
  readonly directory = join(mkdtempSync(join(tmpdir(), 'raftmq-log-')), 'commitlog');
  readonly clock = new ManualClock();
  readonly failures: MqError[] = [];

  open(
    flags: Readonly<Record<string, string>> = {},
    disk: Disk = nodeDisk,
    mustExist = false,
  ): Promise<CommitLog> {
    return CommitLog.open({
      disk,
      directory: this.directory,
      config: loadConfig(commitLogSettings, { flags: { segmentSizeBytes: '65536', ...flags } }),
      logger: silentLogger,
      clock: this.clock,
      mustExist,
      onFailure: (error) => this.failures.push(error),
    });
  }

  /** Path of the segment that starts at `start`. */
  segment(start: number): string {
    return join(this.directory, String(start).padStart(20, '0'));
  }

  remove(): void {
    rmSync(join(this.directory, '..'), { recursive: true, force: true });
  }
}

/** All entries of a log. */
export function readAll(log: CommitLog): readonly Entry[] {
  return log.lastIndex < log.firstIndex ? [] : log.read(log.firstIndex, log.lastIndex, Infinity);
}

/** The frames as text that Jest compares quickly. */
export function frames(entries: readonly Entry[]): string[] {
  return entries.map((entry) => `${entry.index}/${entry.term} ${entry.frame.toString('latin1')}`);
}

/** Resolves when `condition` holds; rejects after five seconds. */
export async function eventually(condition: () => boolean): Promise<void> {
  const endsAt = performance.now() + 5_000;
  while (!condition()) {
    if (performance.now() > endsAt) throw new Error('it did not happen within five seconds');
    await new Promise((resolve) => setImmediate(resolve));
  }
}
