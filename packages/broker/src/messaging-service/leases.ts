import { isMqError, type Logger } from '@raftmq/base';
import { type DeliveredMessage } from '../messaging.js';
import { type DeliveryGrant } from '../pop/delivery.js';
import { type DeliveryName } from '../state/commands/index.js';
import { type GroupRow, type TopicRow } from '../state/tables.js';
import { type Attempts, type PlacedLease } from './attempts.js';
import { type MessagingProbe } from './probe.js';
import { type ProposedRecord, type RecordsProposer } from './proposals.js';
import { type QueueTurn } from './queue-turns.js';
import { type ReceiveCall } from './receive-call.js';
import { type Receipts } from './receipts.js';
import { type Renewals } from './renewals.js';
import { runsOf, type Selection } from './selection.js';
import { type LoadedRecords } from './turn-records.js';

/** A queue whose turn a call has taken, and what it found there. */
export interface Turn {
  readonly turn: QueueTurn;
  readonly topic: TopicRow;
  readonly group: GroupRow;
  /** See {@link deliveryEpoch}: what the selection was made for. */
  readonly epoch: number;
  selection: Selection;
}

/** A turn with its records read: what will be asked of the log. */
export interface LoadedTurn extends Turn {
  readonly loaded: LoadedRecords;
}

/** A call with what it is to be given. */
export interface LoadedCall {
  readonly call: ReceiveCall;
  readonly turns: readonly LoadedTurn[];
}

export interface LeasesOptions {
  readonly proposer: RecordsProposer;
  readonly attempts: Attempts;
  readonly renewals: Renewals;
  readonly receipts: Receipts;
  readonly probe: MessagingProbe;
  readonly logger: Logger;
}

/** Asks the log for leases and gives their messages to the calls they are for. */
export class Leases {
  readonly #options: LeasesOptions;

  constructor(options: LeasesOptions) {
    this.#options = options;
  }

  /**
   * Proposes the leases of several calls as one, in their order: a later one may take messages behind those of an earlier
   * one, and would pass over them for good if it took effect alone.
   * @returns for each call whether it got messages, or had gone and gave them back
   */
  async grant(calls: readonly LoadedCall[]): Promise<readonly boolean[]> {
    const grants = await this.#propose(calls);
    let from = 0;
    return calls.map(({ call, turns }) => {
      const own = grants.slice(from, (from += turns.length));
      return this.#hand(call, turns, own);
    });
  }

  async #propose(calls: readonly LoadedCall[]): Promise<readonly DeliveryGrant[]> {
    try {
      const granted = await this.#options.proposer.propose(
        calls.flatMap(({ call, turns }) => turns.map((turn) => deliverRecord(call, turn))),
        // Nobody got these messages: without this they would stay hidden for the whole invisible time.
        (late) => this.#returnAll(calls, late as readonly DeliveryGrant[]),
      );
      return granted as readonly DeliveryGrant[];
    } catch (error) {
      if (isMqError(error) && error.code === 'REQUEST_TIMEOUT')
        for (const { call } of calls) call.takesOff();
      throw error;
    }
  }

  #hand(
    call: ReceiveCall,
    turns: readonly LoadedTurn[],
    grants: readonly DeliveryGrant[],
  ): boolean {
    if (call.settled) {
      this.#giveBack(call, turns, grants);
      return true;
    }
    const messages: DeliveredMessage[] = [];
    for (let i = 0; i < turns.length; i++) this.#addMessages(messages, call, turns[i]!, grants[i]!);
    if (messages.length === 0) return false;
    this.#options.probe.messagesDelivered += messages.length;
    this.#remember(call, turns, grants);
    call.answer(messages);
    return true;
  }

  /** What the call gets, for the case that the answer is lost on its way. */
  #remember(
    call: ReceiveCall,
    turns: readonly LoadedTurn[],
    grants: readonly DeliveryGrant[],
  ): void {
    const { attemptId, autoRenew } = call.request;
    if (attemptId === null && !autoRenew) return;
    const { attempts, renewals } = this.#options;
    const leases = leasesOf(turns, grants);
    attempts.answered(call, leases);
    if (!autoRenew) return;
    for (const { leaseId } of leases) renewals.answered(leaseId);
  }

  #returnAll(calls: readonly LoadedCall[], grants: readonly DeliveryGrant[]): void {
    let from = 0;
    for (const { call, turns } of calls) {
      this.#giveBack(call, turns, grants.slice(from, (from += turns.length)));
      call.landed();
    }
  }

  #addMessages(
    messages: DeliveredMessage[],
    call: ReceiveCall,
    turn: LoadedTurn,
    grant: DeliveryGrant,
  ): void {
    if (grant.offsets.length === 0) return;
    const { receipts, probe } = this.#options;
    const lease = receipts.handles.lease(call.group, call.topic, turn.turn.queueId, grant.leaseId);
    const { invisibleMs } = call.request;
    for (let i = 0; i < grant.offsets.length; i++) {
      const offset = grant.offsets[i]!;
      const deliveryAttempt = grant.attempts[i]!;
      if (deliveryAttempt > 1) probe.messagesRedelivered++;
      const receiptHandle = lease.handle(offset, deliveryAttempt);
      messages.push({
        record: turn.loaded.records.get(offset)!,
        receiptHandle,
        deliveryAttempt,
        invisibleMs,
      });
    }
  }

  /** The caller went away while its lease was being written: someone else gets the messages, without a lost attempt. */
  #giveBack(
    call: ReceiveCall,
    turns: readonly LoadedTurn[],
    grants: readonly DeliveryGrant[],
  ): void {
    const { proposer, attempts, probe, logger } = this.#options;
    const records: ProposedRecord[] = [];
    for (let i = 0; i < turns.length; i++) {
      const { leaseId, offsets } = grants[i]!;
      if (offsets.length === 0) continue;
      const { queueId } = turns[i]!.turn;
      records.push(
        returnRecord({ group: call.group, topic: call.topic, queueId }, leaseId, offsets),
      );
    }
    if (records.length === 0) return;
    probe.deliveriesAborted++;
    call.takesOff();
    const returned = proposer.propose(records).catch((error: unknown) => {
      attempts.answered(call, leasesOf(turns, grants));
      logger.debug(
        { error: String(error) },
        'messages could not be given back; they become visible in time',
      );
    });
    void returned.then(() => call.landed());
  }
}

function leasesOf(turns: readonly LoadedTurn[], grants: readonly DeliveryGrant[]): PlacedLease[] {
  const leases: PlacedLease[] = [];
  for (let i = 0; i < turns.length; i++) {
    const { leaseId, offsets } = grants[i]!;
    if (offsets.length > 0) leases.push({ queueId: turns[i]!.turn.queueId, leaseId });
  }
  return leases;
}

/** Messages that nobody has go to someone else at once, and the attempt does not count. */
export function returnRecord(
  name: DeliveryName,
  leaseId: number,
  offsets: readonly number[],
): ProposedRecord {
  const lease = { offsets, leaseId, invisibleMs: 0, suspend: true };
  return { command: { kind: 'change-invisible', ...name, ...lease } };
}

function deliverRecord(call: ReceiveCall, loaded: LoadedTurn): ProposedRecord {
  const { selection, turn, epoch } = loaded;
  const { records, dropped } = loaded.loaded;
  const again = dropped.map((offset) => ({ offset, dropped: true }));
  for (const { offset } of selection.retries) {
    if (records.has(offset)) again.push({ offset, dropped: false });
  }
  const fresh = selection.fresh.filter(({ offset }) => records.has(offset));
  // New offsets without a record lie below endOffset: they need no run.
  const freshOffsets = new Set(selection.fresh.map(({ offset }) => offset));
  const { clientId, autoRenew, invisibleMs, attemptId } = call.request;
  return {
    command: {
      kind: 'deliver',
      group: call.group,
      topic: call.topic,
      queueId: turn.queueId,
      epoch,
      runs: runsOf(
        again.filter(({ offset }) => !freshOffsets.has(offset) || records.has(offset)),
        fresh.map(({ offset }) => offset),
      ),
      endOffset: selection.endOffset,
      clientId,
      autoRenew,
      invisibleMs,
      attemptId,
    },
  };
}
