import { count, ms, type SettingsOf } from '@raftmq/base';
import { protocolLimits } from '@raftmq/protocol';

/** Settings of transactions; the leader's count. */
export const transactionSettings = {
  transactionCheckFirstMs: ms({
    default: 6_000,
    min: 0,
    max: protocolLimits.transactionRecoveryMsMax,
    scope: 'cluster',
    doc:
      'Time from a half message to the first question about it, when the message names none ' +
      '(orphaned_transaction_recovery_duration).',
  }),
  transactionCheckIntervalMs: ms({
    default: 30_000,
    min: 100,
    max: 86_400_000,
    scope: 'cluster',
    doc: 'Time between two questions about the same half message.',
  }),
  transactionCheckMax: count({
    default: 15,
    min: 1,
    max: 100_000,
    scope: 'cluster',
    doc: 'Questions about one half message before it is parked. Only those that reached a producer count.',
  }),
  transactionPendingMax: count({
    default: 100_000,
    min: 1,
    max: 10_000_000,
    scope: 'cluster',
    doc:
      'Half messages of one broker group that wait for a decision. Beyond, transactional sends get ' +
      'TOO_MANY_REQUESTS. About half a KiB of memory each.',
  }),
  transactionParkedMax: count({
    default: 100_000,
    min: 1,
    max: 10_000_000,
    scope: 'cluster',
    doc: 'Parked half messages of one broker group; beyond, those parked first are given up.',
  }),
  transactionOutcomeMs: ms({
    default: 86_400_000,
    min: 1_000,
    max: 30 * 86_400_000,
    scope: 'cluster',
    doc: 'How long the outcome of a transaction can be asked for.',
  }),
  transactionOutcomesMax: count({
    default: 1_000_000,
    min: 1,
    max: 100_000_000,
    scope: 'cluster',
    doc: 'Outcomes that one broker group keeps, on disk; beyond, the oldest are forgotten early.',
  }),
};

export type TransactionSettings = SettingsOf<typeof transactionSettings>;
