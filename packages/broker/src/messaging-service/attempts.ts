import { type ReceiveRequest } from '../messaging.js';
import { type Tables } from '../state/tables.js';
import { returnRecord } from './leases.js';
import { type MessagingProbe } from './probe.js';
import { type ProposedRecord, type RecordsProposer } from './proposals.js';
import { attemptKey, type ReceiveCall } from './receive-call.js';

/** A lease and the queue it is in. */
export interface PlacedLease {
  readonly queueId: number;
  readonly leaseId: number;
}

/** What one receive call was given. */
interface Answer {
  readonly group: string;
  readonly topic: string;
  readonly firstQueueId: number;
  /** Those that were not given back. */
  leases: PlacedLease[];
}

/** A call that waits, or of which something is on its way to the log; and who waits for its end. */
interface OpenCall {
  readonly call: ReceiveCall;
  readonly over: (() => void)[];
}

export interface AttemptsOptions {
  readonly tables: Tables;
  readonly proposer: RecordsProposer;
  readonly probe: MessagingProbe;
}

/** Answers of one generation; two are kept. */
const ANSWERS_MAX = 32 * 1024;

/**
 * What receive calls were given lately, by the name of the client's attempt. A client that waited for an answer in vain
 * makes the same attempt again: so nobody has the messages of the first answer. It was lost in the network, with a replica
 * that passed the call on, or with the leader that gave it; leases of earlier leaders are known from their rows.
 *
 * Such messages become visible at once, their attempt does not count, and the repeated call is served like any other. But
 * an ordered queue repeats its batch by itself: the first one of the answer is only looked at first, on topics where a
 * call may look at any queue first. Where that brings nothing in time, the batch is given back too.
 *
 * A call whose first one still waits takes its place, and one whose first one is just being given messages waits for that:
 * to be told "nothing" under a name is the end of that name, and nobody would ask for those messages any more.
 */
export class Attempts {
  readonly #options: AttemptsOptions;
  #answers = new Map<string, Answer>();
  #before = new Map<string, Answer>();
  readonly #open = new Map<string, OpenCall>();

  constructor(options: AttemptsOptions) {
    this.#options = options;
  }

  /** Leadership begins: auto-renewed leases that are out may have been answered by nobody. */
  start(): void {
    this.stop();
    this.#answers = new Map();
    this.#before = new Map();
    for (const { group, topic, queueId, state } of this.#options.tables.deliveries()) {
      for (const { clientId, leaseId, attemptId } of state.renewable()) {
        const key = attemptKey({ attemptId, clientId, group, topic });
        if (key === null) continue;
        const place = { queueId, leaseId };
        const known = this.#find(key);
        if (known !== null) known.leases.push(place);
        else this.#put(key, { group, topic, firstQueueId: queueId, leases: [place] });
      }
    }
  }

  /** Leadership ended: what is on its way is seen by the next leader. */
  stop(): void {
    for (const { over } of this.#open.values()) for (const resolve of over) resolve();
    this.#open.clear();
  }

  /** The call begins; there must be no other of the same attempt. */
  begin(call: ReceiveCall): void {
    const key = call.attemptKey;
    if (key !== null) this.#open.set(key, { call, over: [] });
  }

  /** See `ReceiveServer.over`. */
  over(call: ReceiveCall): void {
    const key = call.attemptKey;
    if (key === null) return;
    const open = this.#open.get(key);
    if (open?.call !== call) return;
    this.#open.delete(key);
    for (const resolve of open.over) resolve();
  }

  /** The call gets these leases. */
  answered({ attemptKey: key, group, topic }: ReceiveCall, leases: PlacedLease[]): void {
    if (key !== null) this.#put(key, { group, topic, firstQueueId: leases[0]!.queueId, leases });
  }

  /** The queue to look at first, because an answer of the same attempt took from it; null = any. */
  queueOf(call: ReceiveCall): number | null {
    return this.#find(call.attemptKey)?.firstQueueId ?? null;
  }

  /**
   * Ends an earlier call of the same attempt, and gives back what it was given.
   * @returns null when there is no such thing; else it is to be asked again afterwards, as another call may have begun
   */
  repeated(request: ReceiveRequest): Promise<void> | null {
    const key = attemptKey(request);
    if (key === null) return null;
    const open = this.#open.get(key);
    if (open !== undefined) {
      open.call.replaced();
      // One that waited has ended by that.
      if (this.#open.get(key) === open)
        return new Promise<void>((resolve) => open.over.push(resolve));
    }
    const answer = this.#find(key);
    return answer === null ? null : this.#giveBack(answer, this.#notRepeated(answer));
  }

  /**
   * Gives back all that an answer of the same attempt still holds: the client will be told that there is nothing.
   * @returns null when it holds nothing
   */
  ended(call: ReceiveCall): Promise<void> | null {
    const answer = this.#find(call.attemptKey);
    return answer === null ? null : this.#giveBack(answer, answer.leases);
  }

  /** Leases but for those of a queue that hands its batch out again by itself. */
  #notRepeated({ group, topic, firstQueueId, leases }: Answer): PlacedLease[] {
    const { tables } = this.#options;
    const type = tables.topics.get(topic)?.config.type;
    // Where priorities or subscriptions say what is looked at, that may be another queue.
    if (type === 'LITE' || type === 'PRIORITY') return leases;
    const kindOf = (queueId: number): string | undefined =>
      tables.delivery(group, topic, queueId)?.state.kind;
    return leases.filter(
      ({ queueId }) => queueId !== firstQueueId || kindOf(queueId) !== 'ordered',
    );
  }

  /** @returns null when nothing of the leases is open */
  #giveBack(answer: Answer, leases: readonly PlacedLease[]): Promise<void> | null {
    const { group, topic } = answer;
    const records: ProposedRecord[] = [];
    for (const { queueId, leaseId } of leases) {
      const offsets = this.#options.tables
        .delivery(group, topic, queueId)
        ?.state.openOffsets(leaseId);
      if (offsets !== undefined && offsets.length > 0)
        records.push(returnRecord({ group, topic, queueId }, leaseId, offsets));
    }
    return records.length === 0 ? null : this.#propose(answer, leases, records);
  }

  async #propose(
    answer: Answer,
    leases: readonly PlacedLease[],
    records: readonly ProposedRecord[],
  ): Promise<void> {
    const { proposer, probe } = this.#options;
    await proposer.propose(records);
    answer.leases = answer.leases.filter((lease) => !leases.includes(lease));
    probe.deliveriesAborted++;
  }

  #find(key: string | null): Answer | null {
    if (key === null) return null;
    return this.#answers.get(key) ?? this.#before.get(key) ?? null;
  }

  #put(key: string, answer: Answer): void {
    if (this.#answers.size >= ANSWERS_MAX) {
      this.#before = this.#answers;
      this.#answers = new Map();
    }
    this.#answers.set(key, answer);
  }
}
