import { assert, crc32, type Disk, type DiskFile } from '@raftmq/base';
import { type QueueIndex, type QueueSlice } from '../ports.js';
import { Queue, scanQueueDirectory, type QueueFiles } from './queue.js';

export interface FileQueueIndexOptions {
  readonly disk: Disk;
  /** `<data>/queues`; one directory per topic, in it one per queue. */
  readonly directory: string;
  /** Entries in one file: 300,000 as in RocketMQ (6 MB); tests take less. */
  readonly entriesPerFile?: number;
  /** Files kept open at a time. */
  readonly openFilesMax?: number;
}

const EMPTY_SLICE: QueueSlice = {
  fromOffset: 0,
  count: 0,
  positions: new Float64Array(0),
  sizesBytes: new Int32Array(0),
  tagHashes: new Int32Array(0),
};

/** {@link QueueIndex} in files, see `docs/formats/queue-index.md`. */
export class FileQueueIndex implements QueueIndex {
  readonly #files: OpenFiles;
  readonly #directory: string;
  readonly #entriesPerFile: number;
  readonly #topics = new Map<string, Map<number, Queue>>();
  #last: { readonly topic: string; readonly queueId: number; readonly queue: Queue } | null = null;
  #flushing: Promise<void> = Promise.resolve();

  private constructor(options: FileQueueIndexOptions) {
    this.#files = new OpenFiles(options.disk, options.openFilesMax ?? 128);
    this.#directory = options.directory;
    this.#entriesPerFile = options.entriesPerFile ?? 300_000;
  }

  /** Finds the queues that are on disk. Files that are damaged, and what follows them in their queue, are not used. */
  static async open(options: FileQueueIndexOptions): Promise<FileQueueIndex> {
    const index = new FileQueueIndex(options);
    await options.disk.makeDirectory(options.directory);
    for (const topicName of await options.disk.list(options.directory)) {
      const topic = topicOfDirectory(topicName);
      if (topic === null) continue;
      for (const queueName of await options.disk.list(`${options.directory}/${topicName}`)) {
        if (!/^\d+$/.test(queueName)) continue;
        const directory = `${options.directory}/${topicName}/${queueName}`;
        const found = await scanQueueDirectory(directory, index.#files, index.#entriesPerFile);
        const queue = new Queue(
          directory,
          index.#files,
          index.#entriesPerFile,
          found.starts,
          found.endOffset,
        );
        index.#queuesOf(topic).set(Number(queueName), queue);
      }
    }
    return index;
  }

  minOffset(topic: string, queueId: number): number {
    return this.#topics.get(topic)?.get(queueId)?.minOffset ?? 0;
  }

  maxOffset(topic: string, queueId: number): number {
    return this.#topics.get(topic)?.get(queueId)?.maxOffset ?? 0;
  }

  append(
    topic: string,
    queueId: number,
    queueOffset: number,
    position: number,
    sizeBytes: number,
    tagHash: number,
  ): void {
    const queue = this.#queueOf(topic, queueId);
    if (queueOffset < queue.maxOffset) return;
    if (queue.empty && queueOffset > queue.maxOffset) queue.startAt(queueOffset);
    assert(queueOffset === queue.maxOffset, `queue offsets of ${topic}/${queueId} are dense`);
    queue.append(position, sizeBytes, tagHash);
  }

  read(topic: string, queueId: number, fromOffset: number, countMax: number): QueueSlice {
    return this.#topics.get(topic)?.get(queueId)?.read(fromOffset, countMax) ?? EMPTY_SLICE;
  }

  flush(): Promise<void> {
    // As of this call: a topic that is made anew meanwhile comes after the removal of the files that it takes over.
    const topics = [...this.#topics];
    this.#flushing = this.#flushing.then(() => this.#flushAll(topics));
    return this.#flushing;
  }

  async truncate(topic: string, queueId: number, endOffset: number): Promise<void> {
    await this.#topics.get(topic)?.get(queueId)?.truncate(endOffset);
  }

  dropBelow(firstPosition: number): void {
    for (const queues of this.#topics.values()) {
      for (const queue of queues.values()) {
        const dropped = queue.dropBelow(firstPosition);
        if (dropped.length > 0) this.#flushing = this.#flushing.then(() => queue.remove(dropped));
      }
    }
  }

  async deleteTopic(topic: string): Promise<void> {
    const queues = this.#topics.get(topic);
    if (queues === undefined) return;
    this.#topics.delete(topic);
    this.#last = null;
    this.#flushing = this.#flushing.then(async () => {
      for (const queue of queues.values()) await queue.remove();
      await this.#files.disk.removeDirectory(`${this.#directory}/${topicDirectory(topic)}`);
    });
    await this.#flushing;
  }

  *queues(): Iterable<readonly [topic: string, queueId: number]> {
    for (const [topic, queues] of this.#topics)
      for (const queueId of queues.keys()) yield [topic, queueId];
  }

  /** Memory held by tails, in bytes: a gauge. */
  tailSizeBytes(): number {
    let sum = 0;
    for (const queues of this.#topics.values())
      for (const queue of queues.values()) sum += queue.tailSizeBytes;
    return sum;
  }

  async close(): Promise<void> {
    await this.#flushing;
    await this.#files.closeAll();
  }

  async #flushAll(topics: readonly (readonly [string, Map<number, Queue>])[]): Promise<void> {
    for (const [topic, queues] of topics) {
      for (const [queueId, queue] of [...queues]) {
        if (this.#topics.get(topic) !== queues) break;
        if (queue.dirty) await this.#files.disk.makeDirectory(this.#queueDirectory(topic, queueId));
        await queue.flush();
      }
    }
  }

  /** Messages of a queue come in runs: it is looked up for the first one. */
  #queueOf(topic: string, queueId: number): Queue {
    const last = this.#last;
    if (last !== null && last.queueId === queueId && last.topic === topic) return last.queue;
    const queues = this.#queuesOf(topic);
    let queue = queues.get(queueId);
    if (queue === undefined) {
      const directory = this.#queueDirectory(topic, queueId);
      queue = new Queue(directory, this.#files, this.#entriesPerFile, [], 0);
      queues.set(queueId, queue);
    }
    this.#last = { topic, queueId, queue };
    return queue;
  }

  #queuesOf(topic: string): Map<number, Queue> {
    const known = this.#topics.get(topic);
    if (known !== undefined) return known;
    const queues = new Map<number, Queue>();
    this.#topics.set(topic, queues);
    return queues;
  }

  #queueDirectory(topic: string, queueId: number): string {
    return `${this.#directory}/${topicDirectory(topic)}/${queueId}`;
  }
}

/**
 * Directory name of a topic: its name, with the bar written as `!`, a dot, and the CRC-32 of the name, so that names
 * which differ only in case stay apart on file systems that ignore case.
 */
export function topicDirectory(topic: string): string {
  assert(/^[A-Za-z0-9%|_-]+$/.test(topic), 'a topic name was checked before it came here');
  return `${topic.replaceAll('|', '!')}.${crc32(Buffer.from(topic)).toString(16).padStart(8, '0')}`;
}

function topicOfDirectory(name: string): string | null {
  const topic = name.slice(0, name.lastIndexOf('.')).replaceAll('!', '|');
  return /^[A-Za-z0-9%|_-]+$/.test(topic) && topicDirectory(topic) === name ? topic : null;
}

/** Keeps the most recently used files open. */
class OpenFiles implements QueueFiles {
  readonly disk: Disk;
  readonly #max: number;
  readonly #open = new Map<string, DiskFile>();

  constructor(disk: Disk, max: number) {
    this.disk = disk;
    this.#max = max;
  }

  openSync(path: string): DiskFile {
    const file = this.#open.get(path) ?? this.disk.openSync(path);
    this.#open.delete(path);
    this.#open.set(path, file);
    if (this.#open.size > this.#max) {
      const [oldestPath, oldest] = this.#open.entries().next().value!;
      this.#open.delete(oldestPath);
      void oldest.close();
    }
    return file;
  }

  async forget(path: string): Promise<void> {
    const file = this.#open.get(path);
    this.#open.delete(path);
    await file?.close();
  }

  async closeAll(): Promise<void> {
    for (const path of [...this.#open.keys()]) await this.forget(path);
  }
}
