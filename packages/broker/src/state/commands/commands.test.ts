import { describe, expect, test } from '@jest/globals';
import { isMqError } from '@raftmq/base';
import { encodeStoredMessage, prepareStoredMessage } from '@raftmq/protocol';
import { decodeCommand, encodeCommand, isCommandMagic, type Command } from './index.js';

const name = { group: 'group-ä', topic: 'ns%topic', queueId: 3 };

const commands: readonly Command[] = [
  {
    kind: 'put-topic',
    ifMissing: false,
    topic: { name: 'T', type: 'FIFO', queues: 8, permission: 6 },
  },
  { kind: 'delete-topic', name: 'T' },
  { kind: 'put-group', ifMissing: true, group: { name: 'g', fifo: true, maxAttempts: 17 } },
  {
    kind: 'put-group',
    ifMissing: false,
    group: {
      name: 'g',
      fifo: false,
      maxAttempts: 1,
      retryPolicy: { kind: 'exponential', initialMs: 5_000, maxMs: 7_200_000, multiplier: 1.5 },
      consumeFrom: { kind: 'timestamp', timestampMs: 1_700_000_000_000 },
      consumeEnabled: false,
    },
  },
  {
    kind: 'put-group',
    ifMissing: false,
    group: {
      name: 'g',
      fifo: true,
      maxAttempts: 3,
      retryPolicy: { kind: 'list', waitsMs: [0, 1_000, 43_200_000] },
      consumeFrom: { kind: 'last' },
    },
  },
  { kind: 'delete-group', name: 'g' },
  { kind: 'set-cluster-secret', secret: Buffer.alloc(32, 9) },
  {
    kind: 'deliver',
    ...name,
    epoch: 12,
    clientId: 'client@1',
    autoRenew: true,
    attemptId: 'attempt',
    invisibleMs: 60_000,
    endOffset: 2 ** 40,
    runs: [
      { fromOffset: 7, count: 1, dropped: true },
      { fromOffset: 2 ** 40 - 3, count: 3, dropped: false },
    ],
  },
  {
    kind: 'deliver',
    ...name,
    epoch: 1,
    clientId: '',
    autoRenew: false,
    attemptId: null,
    invisibleMs: 0,
    endOffset: 0,
    runs: [],
  },
  {
    kind: 'ack',
    ...name,
    targets: [
      { offset: 1, leaseId: 2 ** 45 },
      { offset: 0, leaseId: 1 },
    ],
  },
  { kind: 'change-invisible', ...name, offsets: [5, 3], leaseId: 8, invisibleMs: 1, suspend: true },
  { kind: 'dead-letter', ...name, offset: 99 },
  { kind: 'commit-offset', ...name, topicEpoch: 12, offset: 2 ** 40 },
  {
    kind: 'reset-offsets',
    group: 'g',
    topic: 'T',
    topicEpoch: 7,
    places: [
      { queueId: 0, offset: 0 },
      { queueId: 9, offset: 300 },
    ],
  },
  { kind: 'mark-resent', topic: '%DLQ%g', topicEpoch: 4, offset: 300, toTopic: 'T' },
  { kind: 'open-queues', group: 'g', topic: 'T', topicEpoch: 7, places: [] },
  {
    kind: 'renew-leases',
    ...name,
    leaseIds: [1, 300],
    invisibleMs: 60_000,
    release: false,
    known: true,
  },
  {
    kind: 'lite-subscribe',
    topic: 'L',
    group: 'g',
    clientId: 'client@1',
    change: 'replace',
    names: ['a', 'ä/b'],
    starts: [0, 2_000_000],
    subscriptionsMax: 2_000,
    liteTopicsMax: 1_000_000,
  },
  { kind: 'lite-forget', topic: 'L', clients: [{ group: 'g', clientId: 'client@1' }] },
  { kind: 'lite-expire', topic: 'L', ids: [1_048_576, 1_048_580], beforeMs: 1_700_000_000_000 },
  { kind: 'put-timer', dueMs: 2 ** 45, record: Buffer.from('a stored message') },
  { kind: 'fire-timers', timers: [] },
  {
    kind: 'fire-timers',
    timers: [
      { dueMs: 2 ** 45, id: 2 ** 40 },
      { dueMs: 0, id: 1 },
    ],
  },
  { kind: 'recall-timer', dueMs: 2 ** 45, id: 300 },
  { kind: 'skip', sizeBytes: 0 },
  { kind: 'skip', sizeBytes: 300 },
  {
    kind: 'put-half',
    clientId: 'client@1',
    firstCheckAfterMs: 6_000,
    recoveryMs: 0,
    message: halfMessage(),
  },
  { kind: 'end-transaction', number: 2 ** 40, commit: true, source: 2 },
  {
    kind: 'count-checks',
    nextCheckAfterMs: 30_000,
    checks: [
      { number: 9, checksBefore: 0 },
      { number: 300, checksBefore: 14 },
    ],
  },
  { kind: 'park-half', number: 7, parkedMax: 100_000 },
  { kind: 'resume-halves', firstCheckAfterMs: 0, numbers: [1, 2, 3_000] },
  {
    kind: 'forget-outcomes',
    firstOutcome: 12,
    keys: ['txn/900150983cd24fb0d6963f7d28e17f72/900150983cd24fb0'],
  },
];

function halfMessage(): Buffer {
  const message = {
    messageId: 'id',
    body: Buffer.from('body'),
    tag: null,
    keys: [],
    userProperties: [],
    messageGroup: null,
    traceContext: null,
    bornTimestampMs: 1,
    bornHost: '',
    gzip: false,
  };
  return encodeStoredMessage(prepareStoredMessage(message, 'T'));
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return isMqError(error) ? error.code : `foreign: ${String(error)}`;
  }
  return 'OK';
}

describe('commands', () => {
  test.each(commands.map((command) => [command.kind, command] as const))(
    '%s comes back as it was',
    (_, command) => {
      const record = encodeCommand(command);
      expect(record.readUInt32BE(0)).toBe(record.length);
      expect(isCommandMagic(record.readUInt32BE(4))).toBe(true);
      const frame = Buffer.concat([Buffer.alloc(5, 0xee), record, Buffer.alloc(3, 0xee)]);
      expect(decodeCommand(frame, 5, record.length)).toEqual(command);
    },
  );

  test('bytes of an ack, as documented', () => {
    const record = encodeCommand({
      kind: 'ack',
      group: 'g',
      topic: 'T',
      queueId: 1,
      targets: [{ offset: 300, leaseId: 5 }],
    });
    expect(record.toString('hex')).toBe(
      '00000012' + '524d5107' + '01' + '0167' + '0154' + '01' + '01' + 'ac02' + '05',
    );
  });

  test('a record cut anywhere is refused by code', () => {
    for (const command of commands) {
      // Any length of filler is right.
      if (command.kind === 'skip') continue;
      const record = encodeCommand(command);
      for (let sizeBytes = 0; sizeBytes < record.length; sizeBytes++) {
        const cut = Buffer.from(record.subarray(0, sizeBytes));
        if (sizeBytes >= 4) cut.writeUInt32BE(sizeBytes, 0);
        expect(codeOf(() => decodeCommand(cut, 0, sizeBytes))).toBe('LOG_CORRUPTED');
      }
    }
  });

  test('no flipped byte leads to anything but a command or an MqError', () => {
    const seen = new Set<string>();
    for (const command of commands) {
      const record = encodeCommand(command);
      for (let at = 0; at < record.length; at++) {
        for (const flip of [0x01, 0x80, 0xff]) {
          const damaged = Buffer.from(record);
          damaged[at]! ^= flip;
          seen.add(codeOf(() => decodeCommand(damaged, 0, damaged.length)));
        }
      }
    }
    expect([...seen].sort()).toEqual(['LOG_CORRUPTED', 'OK', 'VERSION_UNSUPPORTED']);
  });

  test('a kind or version of the future is refused by name', () => {
    const kind = encodeCommand(commands[1]!);
    kind.writeUInt32BE(0x524d5100 + 250, 4);
    expect(codeOf(() => decodeCommand(kind, 0, kind.length))).toBe('VERSION_UNSUPPORTED');
    const version = encodeCommand(commands[1]!);
    version[8] = 2;
    expect(codeOf(() => decodeCommand(version, 0, version.length))).toBe('VERSION_UNSUPPORTED');
  });
});
