import { isMqError, type Prng } from '@raftmq/base';
import { type MessagingService } from '@raftmq/broker/internal';
import { type SimEvent } from '../event-heap.js';
import { type SimNode } from '../node.js';
import { type World } from '../world.js';
import { type BrokerApplication } from './broker-application.js';

export type BrokerNode = SimNode<BrokerApplication>;

/** What a client learns of its call. `refused`: it had no effect and never will; `unknown`: nobody can tell. */
export type CallOutcome<T> =
  | { readonly kind: 'ok'; readonly value: T }
  | { readonly kind: 'refused'; readonly code: string }
  | { readonly kind: 'unknown' };

export interface ClientTimes {
  readonly latencyMs: number;
  readonly timeoutMs: number;
  /** Share of answers that get lost. */
  readonly answerLoss: number;
}

export interface ClientCall<T> {
  readonly label: string;
  readonly run: (messaging: MessagingService, signal: AbortSignal) => Promise<T>;
  /** On top of the client's timeout. */
  readonly patienceMs?: number;
}

interface OpenCall {
  readonly label: string;
  readonly lost: () => void;
  /** The server works on it. */
  running: boolean;
}

/** Carries calls from simulated clients to the messaging service of a node, and answers back: late, or never. */
export class ClientNetwork {
  readonly #world: World;
  readonly #random: Prng;
  #times: ClientTimes;
  readonly #open = new Map<BrokerNode, Set<OpenCall>>();

  constructor(world: World, random: Prng, times: ClientTimes) {
    this.#world = world;
    this.#random = random;
    this.#times = times;
  }

  /** Nothing is lost from here on. */
  heal(): void {
    this.#times = { ...this.#times, answerLoss: 0 };
  }

  /** Calls that a server has not answered: their labels. */
  running(): string[] {
    const labels: string[] = [];
    for (const calls of this.#open.values())
      for (const call of calls) if (call.running) labels.push(call.label);
    return labels;
  }

  /** A process ended: its clients see the end of their connections. */
  nodeDied(node: BrokerNode): void {
    const calls = this.#open.get(node);
    if (calls === undefined) return;
    this.#open.delete(node);
    for (const call of calls) call.lost();
  }

  call<T>(node: BrokerNode, call: ClientCall<T>): Promise<CallOutcome<T>> {
    return new Promise((resolve) => {
      let settled = false;
      const controller = new AbortController();
      const settle = (outcome: CallOutcome<T>): void => {
        if (settled) return;
        settled = true;
        timeout.run = null;
        resolve(outcome);
      };
      const { latencyMs, timeoutMs } = this.#times;
      const timeout: SimEvent = this.#later(timeoutMs + (call.patienceMs ?? 0), () => {
        const life = node.life;
        if (life !== null)
          this.#world.schedule(latencyMs, life, 'client gone', () => controller.abort());
        settle({ kind: 'unknown' });
      });
      this.#later(this.#latency(), () => this.#arrive(node, call, controller.signal, settle));
    });
  }

  #arrive<T>(
    node: BrokerNode,
    call: ClientCall<T>,
    signal: AbortSignal,
    settle: (outcome: CallOutcome<T>) => void,
  ): void {
    const { life } = node;
    if (life === null || !node.serving) {
      this.#later(this.#latency(), () => settle({ kind: 'refused', code: 'NOT_CONNECTED' }));
      return;
    }
    const open: OpenCall = {
      label: call.label,
      lost: () => void this.#later(this.#latency(), () => settle({ kind: 'unknown' })),
      running: false,
    };
    const calls = this.#open.get(node) ?? new Set<OpenCall>();
    this.#open.set(node, calls.add(open));
    const answer = (outcome: CallOutcome<T>): void => {
      if (!life.alive) return;
      calls.delete(open);
      if (this.#random.chance(this.#times.answerLoss)) return;
      this.#later(this.#latency(), () => settle(outcome));
    };
    // Through the process's own queue: a stopped process finds the request when it goes on.
    this.#world.schedule(0, life, call.label, () => {
      const application = node.application;
      if (application === null || !node.serving)
        return answer({ kind: 'refused', code: 'NOT_CONNECTED' });
      open.running = true;
      call.run(application.messaging, signal).then(
        (value) => answer({ kind: 'ok', value }),
        (error: unknown) => answer(this.#failure(call.label, error)),
      );
    });
  }

  #failure(label: string, error: unknown): { kind: 'refused'; code: string } | { kind: 'unknown' } {
    if (!isMqError(error)) {
      const stack =
        typeof error === 'object' && error !== null && 'stack' in error
          ? String(error.stack)
          : String(error);
      this.#world.report('no-crash', `${label} failed in an unexpected way: ${stack}`);
      return { kind: 'unknown' };
    }
    return error.code === 'REQUEST_TIMEOUT'
      ? { kind: 'unknown' }
      : { kind: 'refused', code: error.code };
  }

  #latency(): number {
    return this.#times.latencyMs * (0.5 + this.#random.next());
  }

  #later(delayMs: number, run: () => void): SimEvent {
    return this.#world.schedule(delayMs, null, 'client', run);
  }
}
