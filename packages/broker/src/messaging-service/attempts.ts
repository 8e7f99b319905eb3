import { type ReceiveRequest } from '../messaging.js';
import { type Tables } from '../state/tables.js';
import { returnRecord } from './leases.js';
import { type MessagingProbe } from './probe.js';
import { type ProposedRecord, type RecordsProposer } from './proposals.js';

/** A lease and the queue it is in. */
export interface PlacedLease {
  readonly queueId: number;
  readonly leaseId: number;
}

/** What one receive call was given. */
interface Answer {
  readonly clientId: string;
  readonly group: string;
  readonly topic: string;
  readonly leases: PlacedLease[];
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
 * call may look at any queue first.
 */
export class Attempts {
  readonly #options: AttemptsOptions;
  #answers = new Map<string, Answer>();
  #before = new Map<string, Answer>();

  constructor(options: AttemptsOptions) {
    this.#options = options;
  }

  /** Leadership begins: auto-renewed leases that are out may have been answered by nobody. */
  start(): void {
    this.#answers = new Map();
    this.#before = new Map();
    for (const { group, topic, queueId, state } of this.#options.tables.deliveries()) {
      for (const { clientId, leaseId, attemptId } of state.renewable()) {
        if (attemptId === null) continue;
        const place = { queueId, leaseId };
        const known = this.#find(attemptId);
        if (known !== null) known.leases.push(place);
        else this.#put(attemptId, { clientId, group, topic, leases: [place] });
      }
    }
  }

  /** The call gets these leases. */
  answered(request: ReceiveRequest, leases: PlacedLease[]): void {
    const { attemptId, clientId, group, topic } = request;
    if (attemptId !== null) this.#put(attemptId, { clientId, group, topic, leases });
  }

  /** The queue to look at first, because an answer of the same attempt took from it; null = any. */
  queueOf(request: ReceiveRequest): number | null {
    return this.#earlier(request)?.leases[0]?.queueId ?? null;
  }

  /**
   * Gives back what an earlier call of the same attempt was given.
   * @returns null when there is nothing to wait for
   */
  repeated(request: ReceiveRequest): Promise<void> | null {
    const answer = this.#earlier(request);
    return answer === null ? null : this.#giveBack(answer);
  }

  async #giveBack({ group, topic, leases }: Answer): Promise<void> {
    const { tables, proposer, probe } = this.#options;
    const records: ProposedRecord[] = [];
    const type = tables.topics.get(topic)?.config.type;
    // Where priorities or subscriptions say what is looked at, that may be another queue.
    const repeats = type === 'LITE' || type === 'PRIORITY' ? null : leases[0]!.queueId;
    for (const { queueId, leaseId } of leases) {
      const state = tables.delivery(group, topic, queueId)?.state;
      if (state === undefined || (state.kind === 'ordered' && queueId === repeats)) continue;
      const offsets = state.openOffsets(leaseId);
      if (offsets.length > 0)
        records.push(returnRecord({ group, topic, queueId }, leaseId, offsets));
    }
    if (records.length === 0) return;
    await proposer.propose(records);
    probe.deliveriesAborted++;
  }

  #earlier({ attemptId, clientId, group, topic }: ReceiveRequest): Answer | null {
    const answer = attemptId === null ? null : this.#find(attemptId);
    const same = answer?.clientId === clientId && answer.group === group && answer.topic === topic;
    return same ? answer : null;
  }

  #find(attemptId: string): Answer | null {
    return this.#answers.get(attemptId) ?? this.#before.get(attemptId) ?? null;
  }

  #put(attemptId: string, answer: Answer): void {
    if (this.#answers.size >= ANSWERS_MAX) {
      this.#before = this.#answers;
      this.#answers = new Map();
    }
    this.#answers.set(attemptId, answer);
  }
}
