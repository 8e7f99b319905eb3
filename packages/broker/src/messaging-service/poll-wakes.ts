import { type PollRegistry } from '../longpoll/poll-registry.js';
import { type StateNews } from '../state/state-machine.js';
import { type Leadership } from './leadership.js';

/** Whom to wake once the running calls of the driver are over: each poll once, however many entries concern it. */
export class PollWakes {
  readonly #polls: PollRegistry;
  readonly #leadership: Leadership;
  /** Topic to groups, null = all of them. */
  #wakes = new Map<string, Set<string> | null>();
  /** Groups whose polls are to be looked at in all topics. */
  #groupWakes = new Set<string>();

  constructor(polls: PollRegistry, leadership: Leadership) {
    this.#polls = polls;
    this.#leadership = leadership;
  }

  add(news: StateNews): void {
    if (this.#polls.size === 0) return;
    if (this.#wakes.size + this.#groupWakes.size === 0) queueMicrotask(() => this.#wakeAll());
    for (const topic of news.arrivals) this.#wakes.set(topic.config.name, null);
    for (const group of news.groupsChanged) this.#groupWakes.add(group);
    for (const { topic, group } of news.touched) {
      const groups = this.#wakes.get(topic);
      if (groups === undefined) this.#wakes.set(topic, new Set([group]));
      else groups?.add(group);
    }
  }

  #wakeAll(): void {
    const wakes = this.#wakes;
    this.#wakes = new Map();
    const groupWakes = this.#groupWakes;
    this.#groupWakes = new Set();
    if (this.#leadership.refusal() !== null) return;
    for (const [topic, groups] of wakes) {
      if (groups === null) this.#polls.wake(topic, null);
      else for (const group of groups) this.#polls.wake(topic, group);
    }
    for (const group of groupWakes) this.#polls.wakeGroup(group);
  }
}
