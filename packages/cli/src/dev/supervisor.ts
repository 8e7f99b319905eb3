import { assert } from '@raftmq/base';
import { type Output } from '../output.js';
import { type NodeExit, NodeProcess } from './node-process.js';
import { type ClusterPlan } from './plan.js';
import { readyFileText, writeAtomically } from './ready-file.js';

export interface SupervisorOptions {
  /** Path of the script that starts a node from its plan's `args`. */
  readonly launcher: string;
  /** Environment of the nodes. */
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly plan: ClusterPlan;
  /** '' = none. */
  readonly readyFile: string;
  /** Start a node again when it ends by itself. */
  readonly restart: boolean;
  readonly output: Output;
  /** Whether the cluster serves now; asked again until it does. */
  readonly serves: (plan: ClusterPlan) => Promise<boolean>;
  readonly timing?: Partial<SupervisorTiming>;
}

/** Milliseconds. */
export interface SupervisorTiming {
  /** Between two questions whether the cluster serves. */
  readonly probeMs: number;
  /** Longest time from start to serving. */
  readonly startDeadlineMs: number;
  /** From the end of a node to its next start. */
  readonly restartDelayMs: number;
  /** Longest pause between starts of a node that keeps failing. */
  readonly restartDelayMaxMs: number;
  /** From SIGTERM to SIGKILL. */
  readonly stopDeadlineMs: number;
}

const DEFAULT_TIMING: SupervisorTiming = {
  probeMs: 40,
  startDeadlineMs: 30_000,
  restartDelayMs: 1_000,
  restartDelayMaxMs: 30_000,
  stopDeadlineMs: 10_000,
};

const LINES_SHOWN = 12;

/** A node failed before the cluster served, or it never came to serve. `message` is made for people. */
export class ClusterStartError extends Error {
  override readonly name = 'ClusterStartError';
}

/**
 * Keeps the processes of a development cluster running.
 *
 * `start` resolves when the cluster serves; from then on a node that ends is started again on the same ports and
 * directory. `stop` ends everything, brokers first. Every start after the first writes the ready file again.
 */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #timing: SupervisorTiming;
  readonly #namesrv: NodeProcess;
  readonly #brokers: readonly NodeProcess[];
  readonly #restarts = new Map<NodeProcess, NodeJS.Timeout>();
  readonly #failures = new Map<NodeProcess, number>();
  #state: 'idle' | 'starting' | 'serving' | 'stopping' = 'idle';
  #startFailure: ClusterStartError | null = null;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
    const onExit = (node: NodeProcess, exit: NodeExit): void => this.#onExit(node, exit);
    const { launcher, variables } = options;
    this.#namesrv = new NodeProcess(options.plan.namesrv, launcher, variables, onExit);
    this.#brokers = options.plan.brokers.map(
      (plan) => new NodeProcess(plan, launcher, variables, onExit),
    );
  }

  /** All processes, the NameServer first. */
  get nodes(): readonly NodeProcess[] {
    return [this.#namesrv, ...this.#brokers];
  }

  /**
   * Starts all nodes at once and waits until the cluster serves; then writes the ready file.
   * @throws ClusterStartError when a node ends before, or the deadline passes; call `stop` then
   */
  async start(signal: AbortSignal): Promise<void> {
    assert(this.#state === 'idle', 'a supervisor starts once');
    this.#state = 'starting';
    const endsAt = performance.now() + this.#timing.startDeadlineMs;
    for (const node of this.nodes) node.start();
    while (!signal.aborted) {
      if (this.#startFailure !== null) throw this.#startFailure;
      if (await this.#options.serves(this.#options.plan)) {
        if (this.#startFailure !== null) throw this.#startFailure as ClusterStartError;
        this.#state = 'serving';
        this.#writeReadyFile();
        return;
      }
      if (performance.now() > endsAt) {
        throw new ClusterStartError(
          `the cluster did not serve within ${this.#timing.startDeadlineMs} ms\n` +
            this.nodes.map((node) => this.#tail(node)).join('\n'),
        );
      }
      await pause(this.#timing.probeMs);
    }
  }

  /** Stops all nodes, brokers first, and resolves when they are gone. A node that does not stop in time is killed. */
  async stop(): Promise<void> {
    this.#state = 'stopping';
    for (const timer of this.#restarts.values()) clearTimeout(timer);
    this.#restarts.clear();
    await Promise.all(this.#brokers.map((node) => this.#stopNode(node)));
    await this.#stopNode(this.#namesrv);
  }

  async #stopNode(node: NodeProcess): Promise<void> {
    if ((await node.stop(this.#timing.stopDeadlineMs)) === 'killed') {
      this.#options.output.note(
        `${node.plan.name} did not stop within ${this.#timing.stopDeadlineMs} ms and was killed`,
      );
    }
  }

  #onExit(node: NodeProcess, exit: NodeExit): void {
    if (this.#state === 'stopping') return;
    const how = exit.signal === null ? `exit code ${exit.code}` : exit.signal;
    if (this.#state !== 'serving') {
      this.#startFailure ??= new ClusterStartError(
        `${node.plan.name} failed to start (${how})\n${this.#tail(node)}`,
      );
      return;
    }
    if (!this.#options.restart) {
      this.#options.output.note(`${node.plan.name} (pid ${node.pid}) ended: ${how}; it stays down`);
      return;
    }
    // A killed process comes back after the plain delay; one that fails by itself waits longer each time.
    const failures = exit.signal === null ? (this.#failures.get(node) ?? 0) + 1 : 1;
    this.#failures.set(node, failures);
    const delayMs = Math.min(
      this.#timing.restartDelayMs * 2 ** Math.max(0, failures - 3),
      this.#timing.restartDelayMaxMs,
    );
    this.#options.output.note(
      `${node.plan.name} (pid ${node.pid}) ended: ${how}; starting it again in ${delayMs} ms`,
    );
    if (exit.signal === null && exit.code !== 0) this.#options.output.note(this.#tail(node));
    this.#restarts.set(
      node,
      setTimeout(() => {
        this.#restarts.delete(node);
        node.start();
        this.#writeReadyFile();
        this.#options.output.note(`${node.plan.name} started again, pid ${node.pid}`);
      }, delayMs),
    );
  }

  #writeReadyFile(): void {
    if (this.#options.readyFile === '') return;
    writeAtomically(this.#options.readyFile, readyFileText(this.#namesrv, this.#brokers));
  }

  #tail(node: NodeProcess): string {
    const lines = node.lastLines(LINES_SHOWN);
    return [
      `last lines of ${node.plan.logFile}:`,
      ...(lines.length === 0 ? ['  (empty)'] : lines.map((line) => `  ${line}`)),
    ].join('\n');
  }
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
