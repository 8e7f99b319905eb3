import { type Clock, type Logger, systemClock } from '@raftmq/base';
import { type BrokerRegistration } from '@raftmq/protocol';
import { NameserverLink } from './nameserver-link.js';

export interface RegistrationClientOptions {
  /** `host:port` of each NameServer; empty = this broker registers nowhere. */
  readonly addresses: readonly string[];
  /** What this replica is and knows now, with all topics and `topicsUnchanged` false. Called before each sending. */
  readonly registration: () => BrokerRegistration;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** Pause between two registrations without a change. Default 30 s. */
  readonly intervalMs?: number;
}

const INTERVAL_MS = 30_000;

/**
 * Keeps this replica known at all NameServers: one open stream to each, a registration every 30 s and at once after a
 * change. A NameServer that is away is tried again until it is back; the others do not wait for it.
 */
export class RegistrationClient {
  readonly #clock: Clock;
  readonly #links: readonly NameserverLink[];
  #changePending = false;

  constructor(options: RegistrationClientOptions) {
    this.#clock = options.clock ?? systemClock;
    this.#links = options.addresses.map(
      (address) =>
        new NameserverLink({
          address,
          registration: options.registration,
          logger: options.logger,
          clock: this.#clock,
          intervalMs: options.intervalMs ?? INTERVAL_MS,
        }),
    );
  }

  /** NameServers that took over the latest registration sent to them. */
  get registeredCount(): number {
    return this.#links.filter((link) => link.isRegistered).length;
  }

  /** Opens the streams. */
  start(): void {
    for (const link of this.#links) link.start();
  }

  /** Leader, term, topics or addresses changed: registers at once. Changes in one turn of the loop go together. */
  changed(): void {
    if (this.#changePending) return;
    this.#changePending = true;
    this.#clock.setTimer(0, () => {
      this.#changePending = false;
      for (const link of this.#links) link.send();
    });
  }

  /** Closes the streams: NameServers take this replica out of the routes at once. */
  close(): void {
    for (const link of this.#links) link.close();
  }
}
