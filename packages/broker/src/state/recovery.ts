import { MqError, type Logger } from '@raftmq/base';
import { type CommitLogReader, type QueueIndex, type StateStore } from '@raftmq/broker-store';
import { isStoredMessage, StoredView } from '@raftmq/protocol';
import { ENTRY_HEADER_SIZE_BYTES, entryType, type Entry, type LogStorage } from '@raftmq/raft';
import { decodeCommand, isCommandOfKind } from './commands/index.js';
import { indexHash } from './index-hash.js';
import { type RecentSends } from './recent-sends.js';
import { rememberSends } from './remember-sends.js';
import { BrokerStateMachine } from './state-machine.js';
import { Tables } from './tables.js';

export interface RecoveryOptions {
  readonly stateStore: StateStore;
  readonly queueIndex: QueueIndex;
  readonly log: Pick<CommitLogReader, keyof LogStorage>;
  readonly logger: Logger;
  /** Empty; filled from the end of the log. Null, or left out = nothing is remembered. */
  readonly recentSends?: RecentSends | null;
  /** Most log read for it. */
  readonly sendDedupRebuildBytes?: number;
  /** The queue index failed while the state machine runs: the process has to stop. */
  readonly onFatal: (error: unknown) => void;
}

const REPAIR_READ_BYTES = 4 * 1024 * 1024;

/**
 * Loads the saved rows and brings the queue index to exactly where they say; the driver applies the log from there.
 * Queues whose files are shorter than their row (lost, or removed with a topic that was deleted after the checkpoint)
 * are filled again from the log. Without rows everything is rebuilt from the log's first entry.
 * @throws MqError LOG_CORRUPTED when rows are missing and the log no longer has its beginning
 */
export async function openBrokerState(options: RecoveryOptions): Promise<BrokerStateMachine> {
  const { stateStore, queueIndex, log, logger } = options;
  const saved = await stateStore.load();
  const tables = new Tables(stateStore);
  if (saved.appliedIndex === 0 && log.firstIndex > 1) {
    throw new MqError(
      'LOG_CORRUPTED',
      `the state rows are missing and the log begins at entry ${log.firstIndex}: topics and consumer progress before it ` +
        'cannot be rebuilt; restore the state directory, or start this replica with an empty data directory',
    );
  }
  if (saved.appliedIndex + 1 < log.firstIndex) {
    throw new MqError(
      'LOG_CORRUPTED',
      `the state was saved at entry ${saved.appliedIndex}, but the log begins at entry ${log.firstIndex}; ` +
        'start this replica with an empty data directory',
    );
  }
  tables.load(saved.rows);
  await cutQueues(tables, queueIndex);
  const short = shortQueues(tables, queueIndex);
  if (short.size > 0) {
    logger.warn(
      { queues: [...short] },
      'queue files are shorter than the state says; filling them from the log',
    );
    await refillQueues(short, tables, log, queueIndex, saved.appliedIndex);
    const left = shortQueues(tables, queueIndex);
    if (left.size > 0)
      logger.error(
        { queues: [...left] },
        'queues stay incomplete: their messages are no longer in the log',
      );
  }
  const { appliedIndex } = saved;
  const recentSends = options.recentSends ?? null;
  if (recentSends !== null) {
    const bytesMax = options.sendDedupRebuildBytes ?? 0;
    rememberSends(recentSends, { tables, log, logger, throughIndex: appliedIndex, bytesMax });
  }
  logger.info(
    { appliedIndex, topics: tables.topics.size, groups: tables.groups.size },
    'state loaded',
  );
  return new BrokerStateMachine(tables, queueIndex, appliedIndex, options.onFatal, recentSends);
}

/** Cuts every queue back to its row; queues of unknown topics go away. */
async function cutQueues(tables: Tables, queueIndex: QueueIndex): Promise<void> {
  for (const [name, queueId] of [...queueIndex.queues()]) {
    const topic = tables.topics.get(name);
    if (topic === undefined) await queueIndex.deleteTopic(name);
    else await queueIndex.truncate(name, queueId, topic.queues[queueId]?.endOffset ?? 0);
  }
}

function shortQueues(tables: Tables, queueIndex: QueueIndex): Set<string> {
  const short = new Set<string>();
  for (const [name, topic] of tables.topics) {
    for (const queue of topic.queues) {
      if (queue === undefined) continue;
      if (queueIndex.maxOffset(name, queue.queueId) < queue.endOffset) short.add(queue.key);
    }
  }
  return short;
}

/** Reads the log through `throughIndex` once and appends the messages of `short` again. */
async function refillQueues(
  short: ReadonlySet<string>,
  tables: Tables,
  log: Pick<CommitLogReader, keyof LogStorage>,
  queueIndex: QueueIndex,
  throughIndex: number,
): Promise<void> {
  const topics = new Set([...short].map((key) => key.split('/')[1]!));
  for (const topic of topics) await queueIndex.deleteTopic(topic);
  const lite = new Set(
    [...topics].filter((name) => tables.topics.get(name)?.config.type === 'LITE'),
  );
  const refill = { topics, lite, deleted: new Set<string>() };
  let index = log.firstIndex;
  while (index <= Math.min(throughIndex, log.lastIndex)) {
    const entries = log.read(index, Math.min(throughIndex, log.lastIndex), REPAIR_READ_BYTES);
    for (const entry of entries) await refillFrom(entry, refill, queueIndex);
    index += entries.length;
  }
}

interface Refill {
  /** Topics whose queues are filled again. */
  readonly topics: ReadonlySet<string>;
  /** Those of type LITE. */
  readonly lite: ReadonlySet<string>;
  /** Deleted as far as the log was read. */
  readonly deleted: Set<string>;
}

async function refillFrom(entry: Entry, refill: Refill, queueIndex: QueueIndex): Promise<void> {
  if (entry.type !== entryType.records) return;
  const { topics, lite, deleted } = refill;
  const { frame } = entry;
  const message = new StoredView();
  let at = ENTRY_HEADER_SIZE_BYTES;
  for (let left = entry.recordCount; left > 0; left--) {
    const sizeBytes = frame.readUInt32BE(at);
    if (isStoredMessage(frame, at)) {
      message.read(frame, at, sizeBytes);
      const topic = message.topic();
      if (topics.has(topic) && !deleted.has(topic)) {
        const hash = indexHash(message, lite.has(topic) ? message.liteTopic() : null);
        const { queueId, queueOffset } = message;
        queueIndex.append(topic, queueId, queueOffset, entry.position + at, sizeBytes, hash);
      }
    } else if (isCommandOfKind(frame, at, 'put-topic', 'delete-topic')) {
      const command = decodeCommand(frame, at, sizeBytes);
      if (command.kind === 'put-topic') deleted.delete(command.topic.name);
      if (command.kind === 'delete-topic' && topics.has(command.name)) {
        // What follows, if anything, belongs to a later topic of the same name.
        deleted.add(command.name);
        await queueIndex.deleteTopic(command.name);
      }
    }
    at += sizeBytes;
  }
}
