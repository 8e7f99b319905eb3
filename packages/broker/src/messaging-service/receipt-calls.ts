import { MqError } from '@raftmq/base';
import { type ReceiptHandle } from '@raftmq/protocol';
import { type AckTarget } from '../messaging.js';
import { type DeliveryOutcome } from '../pop/delivery.js';
import { type ChangeInvisibleResult, type LeasedOffset } from '../state/commands/index.js';
import { type Tables } from '../state/tables.js';
import { type DeadLetterCause, type DeadLetters } from './dead-letters.js';
import { type Leadership } from './leadership.js';
import { type MessagingProbe } from './probe.js';
import { type ProposedRecord, type RecordsProposer } from './proposals.js';
import { forgedReceipt, receiptError, type Receipts } from './receipts.js';

export interface ReceiptCallsOptions {
  readonly tables: Tables;
  readonly proposer: RecordsProposer;
  readonly leadership: Leadership;
  readonly receipts: Receipts;
  readonly deadLetters: DeadLetters;
  readonly probe: MessagingProbe;
}

/** Calls that name what was handed out by its receipt handle. */
export class ReceiptCalls {
  readonly #options: ReceiptCallsOptions;

  constructor(options: ReceiptCallsOptions) {
    this.#options = options;
  }

  /** See `Messaging.ack`. */
  async ack(
    group: string,
    topic: string,
    targets: readonly AckTarget[],
  ): Promise<readonly (MqError | null)[]> {
    const { leadership, receipts, proposer, probe } = this.#options;
    leadership.need();
    const answers: (MqError | null)[] = new Array<MqError | null>(targets.length).fill(null);
    const byQueue = new Map<number, { readonly at: number[]; readonly targets: LeasedOffset[] }>();
    for (let i = 0; i < targets.length; i++) {
      const receipt = receipts.parse(targets[i]!.receiptHandle, group, topic);
      if (receipt === null) {
        answers[i] = forgedReceipt();
        continue;
      }
      let queue = byQueue.get(receipt.queueId);
      if (queue === undefined) byQueue.set(receipt.queueId, (queue = { at: [], targets: [] }));
      queue.at.push(i);
      queue.targets.push({ offset: receipt.queueOffset, leaseId: receipt.leaseId });
    }
    if (byQueue.size > 0) {
      const records: ProposedRecord[] = [];
      for (const [queueId, queue] of byQueue) {
        records.push({ command: { kind: 'ack', group, topic, queueId, targets: queue.targets } });
      }
      const results = (await proposer.propose(records)) as readonly (readonly DeliveryOutcome[])[];
      let record = 0;
      for (const queue of byQueue.values()) {
        const outcomes = results[record++]!;
        for (let i = 0; i < queue.at.length; i++)
          answers[queue.at[i]!] = receiptError(outcomes[i]!);
      }
    }
    for (const answer of answers) {
      if (answer === null) probe.messagesAcked++;
      else probe.staleReceipts++;
    }
    return answers;
  }

  /** See `Messaging.changeInvisible`. */
  async changeInvisible(
    group: string,
    topic: string,
    target: AckTarget,
    invisibleMs: number,
    suspend: boolean,
  ): Promise<string> {
    const { leadership, receipts, proposer, probe } = this.#options;
    leadership.need();
    const receipt = this.#parse(target, group, topic);
    const { queueId, queueOffset, leaseId, attempt } = receipt;
    const result = (await proposer.command({
      kind: 'change-invisible',
      group,
      topic,
      queueId,
      offsets: [queueOffset],
      leaseId,
      invisibleMs,
      suspend,
    })) as ChangeInvisibleResult;
    const error = receiptError(result.outcome);
    if (error !== null) {
      probe.staleReceipts++;
      throw error;
    }
    probe.invisibleChanges++;
    return receipts.handles
      .lease(group, topic, queueId, result.leaseId)
      .handle(queueOffset, attempt);
  }

  /** See `Messaging.forwardToDeadLetterQueue`. */
  async forwardToDeadLetterQueue(
    group: string,
    topic: string,
    target: AckTarget,
    cause?: DeadLetterCause,
  ): Promise<void> {
    const { leadership, tables, deadLetters, probe } = this.#options;
    leadership.need();
    if (!tables.groups.has(group)) {
      throw new MqError('CONSUMER_GROUP_NOT_FOUND', `consumer group ${group} does not exist`);
    }
    const { queueId, queueOffset, leaseId } = this.#parse(target, group, topic);
    const delivery = tables.delivery(group, topic, queueId);
    const outcome = delivery?.state.check(queueOffset, leaseId) ?? 'stale';
    // Moved before, or acknowledged: there is nothing left to do.
    if (outcome === 'done' || outcome === 'ignored') return;
    const error = outcome === 'open' ? null : receiptError(outcome);
    if (error !== null) {
      probe.staleReceipts++;
      throw error;
    }
    await deadLetters.move({ group, topic, queueId }, [queueOffset], cause);
  }

  #parse(target: AckTarget, group: string, topic: string): ReceiptHandle {
    const receipt = this.#options.receipts.parse(target.receiptHandle, group, topic);
    if (receipt !== null) return receipt;
    this.#options.probe.staleReceipts++;
    throw forgedReceipt();
  }
}
