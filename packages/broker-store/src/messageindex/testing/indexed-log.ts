import { silentLogger, type CancelTimer, type Clock, type Disk, nodeDisk } from '@raftmq/base';
import {
  prepareStoredMessage,
  StoredView,
  writeStoredMessage,
  type PublishMessage,
} from '@raftmq/protocol';
import {
  ENTRY_HEADER_SIZE_BYTES,
  entryEnd,
  entryType,
  sealEntry,
  type Entry,
  type LogStorage,
} from '@raftmq/raft';
import { type LogByPosition, type TermSink } from '../../ports.js';
import { MessageIndex } from '../message-index.js';
import { type MessageIndexLimits } from '../run-store.js';

/** Timers fire in the next turn, however long they are. */
export const hastyClock: Clock = {
  monotonicMs: () => 0,
  wallMs: () => 0,
  setTimer(_delayMs, fire): CancelTimer {
    const immediate = setImmediate(fire);
    return () => clearImmediate(immediate);
  },
};

/** What one entry of the test's log says; every message has one record. */
export interface EntryPlan {
  readonly messages: readonly {
    readonly messageId: string;
    readonly topic: string;
    readonly keys: readonly string[];
  }[];
  /** Offsets of queue 0 of topic T that a command in the entry is about. */
  readonly ranges: readonly { readonly fromOffset: number; readonly count: number }[];
}

/** Where something was written. */
export interface Placed {
  readonly term: string;
  readonly position: number;
}

type IndexLog = Pick<LogStorage, 'firstIndex' | 'lastIndex' | 'read'> & LogByPosition;

/** A log in memory with what an index over it should find. */
export class IndexedLog implements IndexLog {
  readonly entries: Entry[] = [];
  readonly plans: EntryPlan[] = [];
  readonly placed: Placed[] = [];
  firstIndex = 1;
  reads = 0;

  get lastIndex(): number {
    return this.entries.length;
  }

  get firstPosition(): number {
    return this.entries[this.firstIndex - 1]?.position ?? this.endPosition;
  }

  get endPosition(): number {
    const last = this.entries[this.entries.length - 1];
    return last === undefined ? 0 : entryEnd(last);
  }

  read(fromIndex: number, throughIndex: number, bytesMax: number): readonly Entry[] {
    this.reads++;
    const found: Entry[] = [];
    let left = bytesMax;
    for (let index = fromIndex; index <= throughIndex; index++) {
      const entry = this.entries[index - 1]!;
      left -= entry.frame.length;
      if (found.length > 0 && left < 0) break;
      found.push(entry);
    }
    return found;
  }

  indexAt(position: number): number {
    return this.entries.findIndex((entry) => position < entryEnd(entry)) + 1;
  }

  entryAt(position: number): Promise<Entry | null> {
    const entry = this.entries[this.indexAt(position) - 1];
    return Promise.resolve(position < this.firstPosition ? null : (entry ?? null));
  }

  append(plan: EntryPlan): Entry {
    const index = this.entries.length + 1;
    const records = plan.messages.map(({ messageId, topic, keys }) =>
      prepareStoredMessage({ ...message, messageId, keys }, topic),
    );
    const sizeBytes = records.reduce((sum, record) => sum + record.sizeBytes, 0);
    const frame = Buffer.alloc(ENTRY_HEADER_SIZE_BYTES + sizeBytes);
    const position = this.endPosition;
    let at = ENTRY_HEADER_SIZE_BYTES;
    records.forEach((record, i) => {
      const physicalOffset = position + at;
      at = writeStoredMessage(frame, at, record, {
        queueId: 0,
        queueOffset: 0,
        physicalOffset,
        storeTimestampMs: index,
      });
      const { messageId, topic, keys } = plan.messages[i]!;
      this.placed.push({ term: `id ${messageId}`, position: physicalOffset });
      for (const key of new Set(keys))
        this.placed.push({ term: `key ${topic} ${key}`, position: physicalOffset });
    });
    const entry = sealEntry(frame, {
      index,
      term: 1,
      position,
      storeTimestampMs: index,
      type: entryType.records,
      recordCount: records.length,
    });
    this.entries.push(entry);
    this.plans.push(plan);
    return entry;
  }

  /** Gives an entry to a sink as the state machine does. */
  collect = (entry: Entry, sink: TermSink): void => {
    const view = new StoredView();
    let at = ENTRY_HEADER_SIZE_BYTES;
    for (let left = entry.recordCount; left > 0; left--) {
      const sizeBytes = entry.frame.readUInt32BE(at);
      view.read(entry.frame, at, sizeBytes);
      sink.message(view, entry.position + at);
      at += sizeBytes;
    }
    for (const { fromOffset, count } of this.plans[entry.index - 1]!.ranges)
      sink.queueRange('T', 0, fromOffset, count, entry.position);
  };

  open(
    directory: string,
    appliedIndex: number,
    limits: Partial<MessageIndexLimits> = {},
    disk: Disk = nodeDisk,
  ): Promise<MessageIndex> {
    return MessageIndex.open({
      disk,
      directory,
      log: this,
      appliedIndex,
      collect: this.collect,
      clock: hastyClock,
      logger: silentLogger,
      limits,
    });
  }

  /** Applies the entries behind `appliedIndex`. */
  applyTo(index: MessageIndex, appliedIndex: number): void {
    for (const entry of this.entries.slice(appliedIndex)) {
      this.collect(entry, index);
      index.applied(entryEnd(entry));
    }
  }
}

const message: PublishMessage = {
  messageId: '',
  body: Buffer.from('b'),
  tag: 'tag',
  keys: [],
  userProperties: ['color', 'red'],
  messageGroup: null,
  traceContext: null,
  bornTimestampMs: 1,
  bornHost: 'host',
  gzip: false,
};
