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
  /** How long leases are prolonged of which nobody knows whether their client has the messages, from the grant on. */
  readonly unseenMs: number;
}

/**
 * Prolongs leases of clients that asked for it and live: looks when it begins to lead and every 5 s, renews what has less
 * than 10 s left, for 1, 3, 5, 10, 30, then 60 minutes, 3 hours in all; after that the message waits as its group's retry
 * policy says. What a dead client holds becomes visible after a second.
 *
 * A lease is not yet a message in a client's hands: the leader may die between the two, and the client would live on
 * without knowing of it. So the first renewal comes as soon as the leader that gave the answer sees it 5 s later, and
 * says in the log that the client has it. An acknowledgement from the same lease says so too. What a later leader finds
 * without such a word it prolongs for a while only (setting `renewUnseenMs`).
 */
export class Renewals {
  readonly #options: RenewalsOptions;
  /** Last sign of life by client, on the monotonic clock; oldest first. */
  readonly #seen = new Map<string, number>();
  #startedAtMs = 0;
  /** Leases that this leader gave to their calls, and of which the log does not say so yet. */
  #answered = new Set<number>();
  #cancel: CancelTimer = () => undefined;
  #busy = false;

  constructor(options: RenewalsOptions) {
    this.#options = options;
  }

  /** This replica leads now. Clients it has not heard of yet count as alive for as long as a silent one would. */
  start(): void {
    this.#cancel();
    this.#answered.clear();
    this.#startedAtMs = this.#options.clock.monotonicMs();
    // The one before may have died with leases close to their end.
    this.#arm(0);
  }

  stop(): void {
    this.#cancel();
    this.#cancel = () => undefined;
  }

  /** An auto-renewed lease went out to the call that asked for it. */
  answered(leaseId: number): void {
    this.#answered.add(leaseId);
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
          batch.add(row, lease.leaseId, consumeLimits.abandonedVisibleAfterMs, 'release');
      }
    }
    void this.#propose(batch);
  }

  #arm(delayMs: number): void {
    this.#cancel = this.#options.clock.setTimer(delayMs, () => {
      this.#arm(consumeLimits.renewScanMs);
      if (!this.#busy) this.#scan();
    });
  }

  #scan(): void {
    const { clock, tables, unseenMs } = this.#options;
    const nowWallMs = clock.wallMs();
    const nowMs = clock.monotonicMs();
    const batch = new RenewBatch();
    const answered = new Set<number>();
    for (const row of tables.deliveries()) {
      for (const lease of row.state.renewable()) {
        const seenAtMs = this.#seen.get(lease.clientId) ?? this.#startedAtMs;
        if (nowMs - seenAtMs >= settingsDefaults.clientExpiryMs) {
          batch.add(row, lease.leaseId, consumeLimits.abandonedVisibleAfterMs, 'release');
          continue;
        }
        const fresh = !lease.known && this.#answered.has(lease.leaseId);
        if (fresh) answered.add(lease.leaseId);
        const has = fresh || lease.known;
        const totalMs = has ? consumeLimits.renewTotalMsMax : unseenMs;
        const confirm = fresh && nowWallMs - lease.grantedAtMs >= consumeLimits.renewScanMs;
        const forMs = confirm
          ? confirmForMs(lease, nowWallMs)
          : renewForMs(lease, nowWallMs, totalMs);
        if (forMs !== null) batch.add(row, lease.leaseId, forMs, confirm ? 'confirm' : 'renew');
        else if (isGivenUp(lease, nowWallMs, totalMs)) {
          const policy = tables.groups.get(row.group)?.config.retryPolicy ?? defaultRetryPolicy;
          const leftMs = Math.max(0, lease.visibleAtMs - nowWallMs);
          // Nobody failed with what nobody has seen.
          const waitMs = has ? retryWaitMs(policy, lease.attempt) : 0;
          batch.add(row, lease.leaseId, leftMs + waitMs, 'release');
        }
      }
    }
    // Gone, or the log says it by now: the others are looked at again.
    this.#answered = answered;
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
function renewForMs(lease: RenewableLease, nowWallMs: number, totalMs: number): number | null {
  if (lease.visibleAtMs - nowWallMs >= consumeLimits.renewAheadMs) return null;
  const endMs = Math.min(nowWallMs + stepMs(lease), lease.grantedAtMs + totalMs);
  return endMs > Math.max(nowWallMs, lease.visibleAtMs) ? endMs - nowWallMs : null;
}

/** The first renewal, ahead of time: it never shortens the lease. */
function confirmForMs(lease: RenewableLease, nowWallMs: number): number {
  return Math.max(stepMs(lease), lease.visibleAtMs - nowWallMs);
}

function stepMs(lease: RenewableLease): number {
  const steps = consumeLimits.renewStepsMs;
  return steps[Math.min(lease.renewals, steps.length - 1)]!;
}

/** Nobody prolongs the lease any more, though its client lives: the message counts as failed, and waits like one that did. */
function isGivenUp(lease: RenewableLease, nowWallMs: number, totalMs: number): boolean {
  return (
    lease.visibleAtMs - nowWallMs < consumeLimits.renewAheadMs &&
    lease.visibleAtMs >= lease.grantedAtMs + totalMs
  );
}

/** `confirm`: prolongs it, and says that its client has the messages. `release`: it is prolonged no more. */
type RenewKind = 'renew' | 'confirm' | 'release';

/** Renew commands in the making: one per queue and duration. */
class RenewBatch {
  readonly records: ProposedRecord[] = [];
  renewed = 0;
  released = 0;
  readonly #lists = new Map<string, number[]>();

  add(row: DeliveryRow, leaseId: number, invisibleMs: number, kind: RenewKind): void {
    const key = `${row.key}/${invisibleMs}/${kind}`;
    let leaseIds = this.#lists.get(key);
    if (leaseIds === undefined) {
      this.#lists.set(key, (leaseIds = []));
      const name = { group: row.group, topic: row.topic, queueId: row.queueId };
      const flags = { release: kind === 'release', known: kind === 'confirm' };
      this.records.push({
        command: { kind: 'renew-leases', ...name, leaseIds, invisibleMs, ...flags },
      });
    }
    leaseIds.push(leaseId);
    if (kind === 'release') this.released++;
    else this.renewed++;
  }
}
