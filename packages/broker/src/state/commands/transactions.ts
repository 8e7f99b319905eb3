import { MqError } from '@raftmq/base';
import {
  isStoredMessage,
  stampStoredMessage,
  storedBodySizeBytes,
  storedMessageId,
  storedSizeBytes,
  storedTopic,
} from '@raftmq/protocol';
import { isOutcomeKey, outcomeCode } from '../half-table.js';
import { type CommandKind } from './command-kind.js';

/** Stores a half message: consumers see it when its transaction is committed. */
export interface PutHalf {
  readonly kind: 'put-half';
  readonly clientId: string;
  /** From the entry's store timestamp to the first check. */
  readonly firstCheckAfterMs: number;
  /** As sent; 0 = not given. */
  readonly recoveryMs: number;
  /** The message, stored layout, without a place. */
  readonly message: Buffer;
}

/** What a stored half message gets; the one of its first storage when it came again. */
export interface PutHalfResult {
  readonly number: number;
  /** It was there already. */
  readonly again: boolean;
}

/** Ends a transaction. With a commit, the message itself is a record of the same entry, in front of this one. */
export interface EndTransaction {
  readonly kind: 'end-transaction';
  readonly number: number;
  readonly commit: boolean;
  /** Wire number of TransactionSource. */
  readonly source: number;
}

export interface CountedCheck {
  readonly number: number;
  /** Checks that were counted before this one: a check is counted once. */
  readonly checksBefore: number;
}

/** Producers were asked about these transactions. */
export interface CountChecks {
  readonly kind: 'count-checks';
  /** From the entry's store timestamp to the next check. */
  readonly nextCheckAfterMs: number;
  readonly checks: readonly CountedCheck[];
}

/** Asked often enough: an operator has to look. A copy for reading is a record of the same entry, in front of this one. */
export interface ParkHalf {
  readonly kind: 'park-half';
  readonly number: number;
  /** Those parked first are given up beyond this. */
  readonly parkedMax: number;
}

/** Parked transactions are asked about again. */
export interface ResumeHalves {
  readonly kind: 'resume-halves';
  readonly firstCheckAfterMs: number;
  readonly numbers: readonly number[];
}

/** Drops the oldest outcomes. */
export interface ForgetOutcomes {
  readonly kind: 'forget-outcomes';
  /** Number of the first of them; the command does nothing when it is not the oldest one kept. */
  readonly firstOutcome: number;
  readonly keys: readonly string[];
}

/** Whether an end-transaction command found its transaction open; the first decision does. */
export type EndTransactionResult = 'ended' | 'gone';

export const putHalfKind: CommandKind<PutHalf> = {
  number: 30,
  write: (writer, command) => {
    writer.text(command.clientId);
    writer.varint(command.firstCheckAfterMs);
    writer.varint(command.recoveryMs);
    writer.bytes(command.message);
  },
  read: (reader) => {
    const clientId = reader.text();
    const firstCheckAfterMs = reader.varint();
    const recoveryMs = reader.varint();
    const message = reader.bytes();
    if (!isWholeMessage(message)) reader.fail('holds no stored message');
    return { kind: 'put-half', clientId, firstCheckAfterMs, recoveryMs, message };
  },
  apply: ({ tables, nowMs }, command): PutHalfResult | MqError => {
    const { message, clientId, recoveryMs } = command;
    const topic = storedTopic(message);
    if (!tables.topics.has(topic)) {
      return new MqError(
        'TOPIC_NOT_FOUND',
        `topic ${topic} was deleted before the message was stored`,
      );
    }
    const messageId = storedMessageId(message) ?? '';
    const known = tables.halves.find(topic, messageId);
    if (known !== undefined) return { number: known.number, again: true };
    stampStoredMessage(message, nowMs);
    const bodySizeBytes = storedBodySizeBytes(message);
    const half = { topic, messageId, clientId, bodySizeBytes, storedAtMs: nowMs, recoveryMs };
    const row = tables.halves.add(half, nowMs + command.firstCheckAfterMs, message);
    return { number: row.number, again: false };
  },
  terms: ({ message }, sink, position) => {
    const messageId = storedMessageId(message);
    if (messageId !== null) sink.messageId(messageId, position);
  },
};

export const endTransactionKind: CommandKind<EndTransaction> = {
  number: 31,
  write: (writer, command) => {
    writer.varint(command.number);
    writer.flag(command.commit);
    writer.varint(command.source);
  },
  read: (reader) => ({
    kind: 'end-transaction',
    number: reader.varint(),
    commit: reader.flag(),
    source: reader.varint(),
  }),
  apply: ({ tables, nowMs }, { number, commit, source }): EndTransactionResult => {
    const row = tables.halves.get(number);
    // Gone with its topic while the decision was on its way.
    if (row === undefined) return 'gone';
    const outcome = commit ? outcomeCode.COMMITTED : outcomeCode.ROLLED_BACK;
    tables.halves.decide(row, outcome, source, nowMs);
    return 'ended';
  },
};

export const countChecksKind: CommandKind<CountChecks> = {
  number: 32,
  write: (writer, command) => {
    writer.varint(command.nextCheckAfterMs);
    writer.varint(command.checks.length);
    for (const check of command.checks) {
      writer.varint(check.number);
      writer.varint(check.checksBefore);
    }
  },
  read: (reader) => {
    const nextCheckAfterMs = reader.varint();
    const checks: CountedCheck[] = [];
    for (let left = reader.count(2); left > 0; left--) {
      checks.push({ number: reader.varint(), checksBefore: reader.varint() });
    }
    return { kind: 'count-checks', nextCheckAfterMs, checks };
  },
  apply: ({ tables, nowMs }, { checks, nextCheckAfterMs }) => {
    for (const { number, checksBefore } of checks) {
      const row = tables.halves.get(number);
      if (row === undefined || row.parked || row.checks !== checksBefore) continue;
      tables.halves.checked(row, nowMs + nextCheckAfterMs);
    }
    return null;
  },
};

export const parkHalfKind: CommandKind<ParkHalf> = {
  number: 33,
  write: (writer, command) => {
    writer.varint(command.number);
    writer.varint(command.parkedMax);
  },
  read: (reader) => ({ kind: 'park-half', number: reader.varint(), parkedMax: reader.varint() }),
  apply: ({ tables, nowMs }, { number, parkedMax }): number => {
    const { halves } = tables;
    const row = halves.get(number);
    if (row === undefined || row.parked) return 0;
    halves.park(row, nowMs);
    let discarded = 0;
    while (halves.parkedCount > parkedMax) {
      halves.decide(halves.oldestParked()!, outcomeCode.DISCARDED, 0, nowMs);
      discarded++;
    }
    return discarded;
  },
};

export const resumeHalvesKind: CommandKind<ResumeHalves> = {
  number: 34,
  write: (writer, command) => {
    writer.varint(command.firstCheckAfterMs);
    writer.varint(command.numbers.length);
    for (const number of command.numbers) writer.varint(number);
  },
  read: (reader) => {
    const firstCheckAfterMs = reader.varint();
    const numbers: number[] = [];
    for (let left = reader.count(1); left > 0; left--) numbers.push(reader.varint());
    return { kind: 'resume-halves', firstCheckAfterMs, numbers };
  },
  apply: ({ tables, nowMs }, { numbers, firstCheckAfterMs }): number => {
    let resumed = 0;
    for (const number of numbers) {
      const row = tables.halves.get(number);
      if (row?.parked !== true) continue;
      tables.halves.resume(row, nowMs + firstCheckAfterMs);
      resumed++;
    }
    return resumed;
  },
};

export const forgetOutcomesKind: CommandKind<ForgetOutcomes> = {
  number: 35,
  write: (writer, command) => {
    writer.varint(command.firstOutcome);
    writer.varint(command.keys.length);
    for (const key of command.keys) writer.text(key);
  },
  read: (reader) => {
    const firstOutcome = reader.varint();
    const keys: string[] = [];
    for (let left = reader.count(1); left > 0; left--) {
      const key = reader.text();
      if (!isOutcomeKey(key)) reader.fail(`names the outcome ${JSON.stringify(key)}`);
      keys.push(key);
    }
    return { kind: 'forget-outcomes', firstOutcome, keys };
  },
  apply: ({ tables }, { firstOutcome, keys }): number => {
    const { numbers } = tables.halves;
    if (firstOutcome !== numbers.firstOutcome) return 0;
    if (keys.length > tables.halves.outcomeCount) return 0;
    tables.halves.forget(keys);
    return keys.length;
  },
};

function isWholeMessage(bytes: Buffer): boolean {
  return bytes.length >= 8 && isStoredMessage(bytes) && storedSizeBytes(bytes) === bytes.length;
}
