import { isMqError, MqError, errorTable, type CancelTimer, type Clock } from '@raftmq/base';
import { type RoleStatus } from '@raftmq/raft';
import { isRpcError, rpcErrorToMqError, type RpcChannel, type StreamWriter } from '@raftmq/rpc';
import {
  FORWARDED_HEADER,
  FORWARDED_PEER_HEADER,
  FORWARD_HOPS_MAX,
  type EdgeCall,
} from '../handlers/edge-call.js';
import { type EdgeProbe } from '../ops/edge-probe.js';
import { type LeaderWatch } from './leader-watch.js';
import { peekStatusCode } from './status-peek.js';

export interface ForwarderOptions {
  readonly ownGroup: string;
  readonly role: () => RoleStatus;
  readonly watch: LeaderWatch;
  /** gRPC address of the leader of a group, null while none is known. May be this replica's own. */
  readonly leaderAddress: (group: string) => string | null;
  /** A call to this leader failed: what is known about its group may be old. */
  readonly suspect: (group: string) => void;
  readonly channel: (address: string) => RpcChannel;
  readonly clock: Clock;
  readonly probe: EdgeProbe;
  /** Longest time a request waits for a leader that answers. */
  readonly holdMs: number;
  readonly inFlightMax: number;
}

interface InFlight {
  readonly group: string;
  readonly address: string;
  readonly controller: AbortController;
  /** Set when another leader is known: the old one has until then to answer. */
  abortAtMs: number | null;
}

/** Time kept back from the caller's deadline, so that it hears our answer and not its own timeout. */
const DEADLINE_MARGIN_MS = 50;
/** Pause before a leader that failed is tried again, unless the role changes earlier. */
const RETRY_PAUSE_MS = 50;
/** A deposed leader still answers truthfully for what it has committed; after this it is given up. */
const OLD_LEADER_GRACE_MS = 250;
const SCAN_INTERVAL_MS = 50;

/**
 * Brings a request to the one replica that can answer it: here, or at a leader elsewhere, with the same bytes and at most
 * one hop. While there is no leader, or it does not answer, the request is held and tried again.
 *
 * Everything that passes here may be repeated: queries, heartbeats, acknowledgements and administration have the same
 * effect twice; a receive whose answer was lost leaves its messages invisible for their time, as a lost answer does
 * anywhere; and a send that is repeated because its leader died with an unknown outcome is known to the next leader by
 * its message id, and stored once.
 */
export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #inFlight = new Set<InFlight>();
  #cancelScan: CancelTimer | null = null;
  #draining = false;

  constructor(options: ForwarderOptions) {
    this.#options = options;
  }

  /** Requests at other replicas, and requests that wait for a leader. */
  get inFlight(): number {
    return this.#inFlight.size + this.#options.watch.waiting;
  }

  /**
   * A call with one answer.
   * @param group the group that has to answer
   * @param local answers here; called only while this replica leads `group` and is writable, maybe more than once: its
   *   rejection with HA_NOT_AVAILABLE means that nothing happened
   * @returns the encoded answer; business failures of the leader are inside it
   * @throws MqError HA_NOT_AVAILABLE when no leader answered in time, REQUEST_TIMEOUT when the outcome is unknown,
   *   TOO_MANY_REQUESTS at the limit
   */
  async unary(
    call: EdgeCall,
    request: Buffer,
    group: string,
    local: () => Promise<Buffer>,
  ): Promise<Buffer> {
    if (this.#leads(group)) {
      try {
        return await local();
      } catch (error) {
        if (!isNotAvailable(error)) throw error;
      }
    }
    return this.#hold(call, group, local, (address) =>
      this.#unaryAt(address, call, request, group),
    );
  }

  /**
   * A call with a stream of answers.
   * @param local writes to `writer`; the same promise as in `unary`: it rejects with HA_NOT_AVAILABLE only before its
   *   first write
   */
  async stream(
    call: EdgeCall,
    request: Buffer,
    group: string,
    writer: StreamWriter<Buffer>,
    local: () => Promise<void>,
  ): Promise<void> {
    if (this.#leads(group)) {
      try {
        return await local();
      } catch (error) {
        if (!isNotAvailable(error)) throw error;
      }
    }
    if (this.#draining) throw this.#noLeader(group);
    await this.#hold(
      call,
      group,
      async () => (await local(), true),
      async (address) =>
        (await this.#streamAt(address, call, request, group, writer)) ? true : null,
    );
  }

  #leads(group: string): boolean {
    return group === this.#options.ownGroup && this.#options.role().writable;
  }

  async #hold<T>(
    call: EdgeCall,
    group: string,
    local: () => Promise<T>,
    remote: (address: string) => Promise<T | null>,
  ): Promise<T> {
    const { clock, watch, probe, holdMs, inFlightMax } = this.#options;
    if (this.inFlight >= inFlightMax) {
      probe.forwardRefused++;
      throw new MqError(
        'TOO_MANY_REQUESTS',
        `${inFlightMax} requests wait for a leader or for another replica; try again later`,
      );
    }
    const leftMs = call.deadlineMs - clock.wallMs() - DEADLINE_MARGIN_MS;
    const untilMs = clock.monotonicMs() + Math.min(holdMs, Math.max(0, leftMs));
    for (let attempt = 0; ; attempt++) {
      if (attempt > 0) probe.forwardRetries++;
      const result = await this.#try(call, group, local, remote);
      if (result !== null) return result;
      const nowMs = clock.monotonicMs();
      if (nowMs >= untilMs || this.#draining) throw this.#noLeader(group);
      if (attempt === 0) probe.forwardHeld++;
      await watch.changed(Math.min(untilMs, nowMs + RETRY_PAUSE_MS));
    }
  }

  /** @returns null when nothing answered and it is worth trying again */
  async #try<T>(
    call: EdgeCall,
    group: string,
    local: () => Promise<T>,
    remote: (address: string) => Promise<T | null>,
  ): Promise<T | null> {
    const own = group === this.#options.ownGroup;
    if (own) {
      const role = this.#options.role();
      if (role.writable) return await orNull(local());
      // Elected, its first entry not applied yet: that takes one round trip, wait for it.
      if (role.role === 'leader') return null;
    }
    if (call.hops >= FORWARD_HOPS_MAX) throw notLeader(group);
    const address = this.#options.leaderAddress(group);
    if (address === null) {
      this.#options.suspect(group);
      return null;
    }
    this.#options.probe.forwarded++;
    return await remote(address);
  }

  async #unaryAt(
    address: string,
    call: EdgeCall,
    request: Buffer,
    group: string,
  ): Promise<Buffer | null> {
    const entry = this.#started(group, address);
    try {
      const answer = await this.#options.channel(address).unary(call.context.path, request, {
        deadlineMs: call.deadlineMs - DEADLINE_MARGIN_MS,
        headers: forwardedHeaders(call),
        signal: entry.controller.signal,
      });
      return this.#isRefusal(answer, group) ? null : answer;
    } catch (error) {
      return this.#failed(error, group, entry);
    } finally {
      this.#inFlight.delete(entry);
    }
  }

  async #streamAt(
    address: string,
    call: EdgeCall,
    request: Buffer,
    group: string,
    writer: StreamWriter<Buffer>,
  ): Promise<boolean> {
    const entry = this.#started(group, address);
    let wrote = false;
    try {
      const parts = this.#options.channel(address).serverStream(call.context.path, request, {
        deadlineMs: call.deadlineMs - DEADLINE_MARGIN_MS,
        headers: forwardedHeaders(call),
        signal: AbortSignal.any([entry.controller.signal, call.context.signal]),
      });
      for await (const part of parts) {
        if (!wrote && this.#isRefusal(part, group)) return false;
        wrote = true;
        // A reader that is gone ends the loop, which cancels the call at the leader: it takes back what it handed out.
        if (writer.closed) return true;
        if (!writer.write(part)) await writer.drained();
      }
      if (wrote) return true;
      this.#options.suspect(group);
      return false;
    } catch (error) {
      if (call.context.signal.aborted) return true;
      if (wrote) throw isRpcError(error) ? rpcErrorToMqError(error) : error;
      return this.#failed(error, group, entry) !== null;
    } finally {
      this.#inFlight.delete(entry);
    }
  }

  #isRefusal(answer: Buffer, group: string): boolean {
    if (peekStatusCode(answer) !== errorTable.HA_NOT_AVAILABLE.status) return false;
    this.#options.suspect(group);
    return true;
  }

  /** Decides about a call that failed: null = try again, otherwise throws. */
  #failed(error: unknown, group: string, entry: InFlight): null {
    if (!isRpcError(error)) throw error;
    const gone =
      error.status === 'UNAVAILABLE' ||
      error.status === 'CANCELLED' ||
      (error.status === 'INTERNAL' && entry.controller.signal.aborted);
    if (!gone) throw rpcErrorToMqError(error);
    this.#options.suspect(group);
    return null;
  }

  #started(group: string, address: string): InFlight {
    const entry: InFlight = {
      group,
      address,
      controller: new AbortController(),
      abortAtMs: null,
    };
    this.#inFlight.add(entry);
    this.#cancelScan ??= this.#options.clock.setTimer(SCAN_INTERVAL_MS, () => this.#scan());
    return entry;
  }

  /** Takes calls back from a leader that was replaced: it may be stopped, and would never answer. */
  #scan(): void {
    this.#cancelScan = null;
    const nowMs = this.#options.clock.monotonicMs();
    for (const entry of this.#inFlight) {
      const leader = this.#options.leaderAddress(entry.group);
      if (leader === null || leader === entry.address) {
        entry.abortAtMs = null;
      } else if (entry.abortAtMs === null) {
        entry.abortAtMs = nowMs + OLD_LEADER_GRACE_MS;
      } else if (nowMs >= entry.abortAtMs) {
        entry.controller.abort();
      }
    }
    if (this.#inFlight.size > 0) {
      this.#cancelScan = this.#options.clock.setTimer(SCAN_INTERVAL_MS, () => this.#scan());
    }
  }

  /** From now on nothing is held for a leader: the process stops, and the client is better off elsewhere. */
  drain(): void {
    this.#draining = true;
  }

  /** Gives up what is under way. */
  close(): void {
    this.#draining = true;
    this.#cancelScan?.();
    this.#cancelScan = null;
    for (const entry of this.#inFlight) entry.controller.abort();
  }

  #noLeader(group: string): MqError {
    return new MqError(
      'HA_NOT_AVAILABLE',
      `no leader of group ${group} answered in time; nothing is known to have been done: try again, and if it lasts see "raftmq raft status"`,
    );
  }
}

function notLeader(group: string): MqError {
  return new MqError(
    'HA_NOT_AVAILABLE',
    `this replica does not lead group ${group}, and the request was passed on once already`,
  );
}

function isNotAvailable(error: unknown): boolean {
  return isMqError(error) && error.code === 'HA_NOT_AVAILABLE';
}

async function orNull<T>(promise: Promise<T>): Promise<T | null> {
  try {
    return await promise;
  } catch (error) {
    if (isNotAvailable(error)) return null;
    throw error;
  }
}

function forwardedHeaders(call: EdgeCall): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(call.context.headers())) {
    if (name.startsWith('x-mq-')) headers[name] = value;
  }
  headers[FORWARDED_HEADER] = String(call.hops + 1);
  headers[FORWARDED_PEER_HEADER] = call.peer;
  return headers;
}
