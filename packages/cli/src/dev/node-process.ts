import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fstatSync, mkdirSync, openSync, readSync } from 'node:fs';
import { dirname } from 'node:path';
import { assert } from '@raftmq/base';
import { type NodePlan } from './plan.js';

/** Why a node process ended. */
export interface NodeExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const TAIL_BYTES = 16 * 1024;
/**
 * How the C library is to keep memory; it can only be told before a process starts, and other libraries than glibc do not
 * look at it. Left alone, each of a broker's threads has a heap of its own, and what one has freed stays with it; and a
 * large block, once freed, makes the next ones up to its size be cut out of these heaps, which then have holes that the
 * system never gets back. After a burst that was up to a hundred MiB.
 */
const MALLOC_SETTINGS = {
  MALLOC_ARENA_MAX: '2',
  MALLOC_MMAP_THRESHOLD_: String(128 * 1024),
  MALLOC_TRIM_THRESHOLD_: String(4 * 1024 * 1024),
};

/**
 * One child process of the development cluster. Started and stopped by the supervisor, which also decides about
 * restarts; this class only knows the process at hand.
 */
export class NodeProcess {
  readonly plan: NodePlan;
  readonly #launcher: string;
  readonly #variables: Readonly<Record<string, string | undefined>>;
  readonly #onExit: (node: NodeProcess, exit: NodeExit) => void;
  #child: ChildProcess | null = null;
  #exited: Promise<void> = Promise.resolve();

  /**
   * @param launcher path of the script that takes `plan.args`
   * @param variables environment of the process; what it says of memory goes first
   * @param onExit called once for every start, also when the process could not be started at all
   */
  constructor(
    plan: NodePlan,
    launcher: string,
    variables: Readonly<Record<string, string | undefined>>,
    onExit: (node: NodeProcess, exit: NodeExit) => void,
  ) {
    this.plan = plan;
    this.#launcher = launcher;
    this.#variables = variables;
    this.#onExit = onExit;
  }

  /** The process id of the latest start; 0 before the first. */
  pid = 0;

  get running(): boolean {
    return this.#child !== null;
  }

  /** Starts the process; its output is appended to the log file. */
  start(): void {
    assert(this.#child === null, 'the process runs already');
    mkdirSync(dirname(this.plan.logFile), { recursive: true });
    const log = openSync(this.plan.logFile, 'a');
    try {
      const child = spawn(process.execPath, [this.#launcher, ...this.plan.args], {
        // Its own process group: Ctrl-C reaches the supervisor alone, which then stops the nodes in order. The pipe
        // on stdin closes when the supervisor dies, and the launcher ends the node then.
        detached: true,
        stdio: ['pipe', log, log],
        env: {
          ...MALLOC_SETTINGS,
          ...this.#variables,
          RAFTMQ_STOP_WITH_PARENT: '1',
        },
      });
      this.#child = child;
      this.pid = child.pid ?? 0;
      this.#exited = new Promise((resolve) => {
        let ended = false;
        const end = (exit: NodeExit): void => {
          if (ended) return;
          ended = true;
          this.#child = null;
          resolve();
          this.#onExit(this, exit);
        };
        child.once('exit', (code, signal) => end({ code, signal }));
        child.once('error', () => end({ code: null, signal: null }));
      });
      child.stdin?.on('error', () => undefined);
    } finally {
      closeSync(log);
    }
  }

  /** Asks the process to stop, kills it after `deadlineMs`; resolves when it is gone. */
  async stop(deadlineMs: number): Promise<'clean' | 'killed'> {
    const child = this.#child;
    if (child === null) return 'clean';
    let killed = false;
    const timer = setTimeout(() => {
      killed = true;
      child.kill('SIGKILL');
    }, deadlineMs);
    child.kill('SIGTERM');
    await this.#exited;
    clearTimeout(timer);
    return killed ? 'killed' : 'clean';
  }

  /** The last lines of the log file. */
  lastLines(linesMax: number): readonly string[] {
    let file: number;
    try {
      file = openSync(this.plan.logFile, 'r');
    } catch {
      return [];
    }
    try {
      const size = fstatSync(file).size;
      const tail = Buffer.alloc(Math.min(size, TAIL_BYTES));
      readSync(file, tail, 0, tail.length, size - tail.length);
      return tail.toString('utf8').trimEnd().split('\n').slice(-linesMax);
    } finally {
      closeSync(file);
    }
  }
}
