import { type CancelTimer, type Clock, type Logger } from '@raftmq/base';
import { consumeLimits, defaultRetryPolicy, retryWaitMs, settingsDefaults } from '@raftmq/protocol';
import { type RenewableLease } from '../pop/delivery.js';
import { type DeliveryRow, type Tables } from '../state/tables.js';
import { type MessagingProbe } from './probe.js';
import { type ProposedRecord, type RecordsProposer } from './proposals.js';

/** Records in one proposal. */
const RECORDS_MAX = 256;

export interface RenewalsOptions {
  readonly tables: Tables;
  readonly proposer: RecordsProposer;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly probe: MessagingProbe;
  readonly clientsMax: number;
}

/**
 * Prolongs leases of clients that asked for it and live: looks every 5 s, renews what has less than 10 s left, for 1, 3,
 * 5, 10, 30, then 60 minutes, 3 hours in all; after that the message waits as its group's retry policy says. What a dead client holds becomes visible after a second.
 */
export class Renewals {
  readonly #options: RenewalsOptions;
  /** Last sign of life by client, on the monotonic clock; oldest first. */
  readonly #seen = new Map<string, number>();
  #startedAtMs = 0;
  #cancel: CancelTimer = () => undefined;
  #busy = false;

  constructor(options: RenewalsOptions) {
    this.#options = options;
  }

  /** This replica leads now. Clients it has not heard of yet count as alive for as long as a silent one would. */
  start(): void {
    this.#cancel();
    this.#startedAtMs = this.#options.clock.monotonicMs();
    this.#arm();
  }

  stop(): void {
    this.#cancel();
    this.#cancel = () => undefined;
  }

  seen(clientId: string): void {
    this.#seen.delete(clientId);
    this.#seen.set(clientId, this.#options.clock.monotonicMs());
    if (this.#seen.size <= this.#options.clientsMax) return;
    for (const oldest of this.#seen.keys()) {
      this.#seen.delete(oldest);
      break;
    }
  }

  /** What the client holds, in one group or in all, becomes visible soon. */
  gone(clientId: string, group: string | null): void {
    if (group === null) this.#seen.delete(clientId);
    const batch = new RenewBatch();
    for (const row of this.#options.tables.deliveries()) {
      if (group !== null && row.group !== group) continue;
      for (const lease of row.state.renewable()) {
        if (lease.clientId === clientId)
          batch.add(row, lease.leaseId, consumeLimits.abandonedVisibleAfterMs, true);
      }
    }
    void this.#propose(batch);
  }

  #arm(): void {
    this.#cancel = this.#options.clock.setTimer(consumeLimits.renewScanMs, () => {
      this.#arm();
      if (!this.#busy) this.#scan();
    });
  }

  #scan(): void {
    const { clock, tables } = this.#options;
    const nowWallMs = clock.wallMs();
    const nowMs = clock.monotonicMs();
    const batch = new RenewBatch();
    for (const row of tables.deliveries()) {
      for (const lease of row.state.renewable()) {
        const seenAtMs = this.#seen.get(lease.clientId) ?? this.#startedAtMs;
        if (nowMs - seenAtMs >= settingsDefaults.clientExpiryMs) {
          batch.add(row, lease.leaseId, consumeLimits.abandonedVisibleAfterMs, true);
          continue;
        }
        const forMs = renewForMs(lease, nowWallMs);
        if (forMs !== null) batch.add(row, lease.leaseId, forMs, false);
        else if (isGivenUp(lease, nowWallMs)) {
          const policy = tables.groups.get(row.group)?.config.retryPolicy ?? defaultRetryPolicy;
          const leftMs = Math.max(0, lease.visibleAtMs - nowWallMs);
          batch.add(row, lease.leaseId, leftMs + retryWaitMs(policy, lease.attempt), true);
        }
      }
    }
    void this.#propose(batch);
  }

  async #propose(batch: RenewBatch): Promise<void> {
    const { proposer, probe, logger } = this.#options;
    this.#busy = true;
    try {
      for (let at = 0; at < batch.records.length; at += RECORDS_MAX) {
        await proposer.propose(batch.records.slice(at, at + RECORDS_MAX));
      }
      probe.leasesRenewed += batch.renewed;
      probe.leasesReleased += batch.released;
    } catch (error) {
      // The next scan tries again; without a leader the new one does.
      logger.debug({ error: String(error) }, 'leases could not be renewed');
    } finally {
      this.#busy = false;
    }
  }
}

/** How long to prolong the lease for from now on; null = leave it. */
export function renewForMs(lease: RenewableLease, nowWallMs: number): number | null {
  if (lease.visibleAtMs - nowWallMs >= consumeLimits.renewAheadMs) return null;
  const steps = consumeLimits.renewStepsMs;
  const stepMs = steps[Math.min(lease.renewals, steps.length - 1)]!;
  const endMs = Math.min(nowWallMs + stepMs, lease.grantedAtMs + consumeLimits.renewTotalMsMax);
  return endMs > Math.max(nowWallMs, lease.visibleAtMs) ? endMs - nowWallMs : null;
}

/** Nobody prolongs the lease any more, though its client lives: the message counts as failed, and waits like one that did. */
function isGivenUp(lease: RenewableLease, nowWallMs: number): boolean {
  return (
    lease.visibleAtMs - nowWallMs < consumeLimits.renewAheadMs &&
    lease.visibleAtMs >= lease.grantedAtMs + consumeLimits.renewTotalMsMax
  );
}

/** Renew commands in the making: one per queue and duration. */
class RenewBatch {
  readonly records: ProposedRecord[] = [];
  renewed = 0;
  released = 0;
  readonly #lists = new Map<string, number[]>();

  add(row: DeliveryRow, leaseId: number, invisibleMs: number, release: boolean): void {
    const key = `${row.key}/${invisibleMs}/${release}`;
    let leaseIds = this.#lists.get(key);
    if (leaseIds === undefined) {
      this.#lists.set(key, (leaseIds = []));
      const name = { group: row.group, topic: row.topic, queueId: row.queueId };
      this.records.push({
        command: { kind: 'renew-leases', ...name, leaseIds, invisibleMs, release },
      });
    }
    leaseIds.push(leaseId);
    if (release) this.released++;
    else this.renewed++;
  }
}
