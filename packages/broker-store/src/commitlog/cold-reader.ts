import { type Entry } from '@raftmq/raft';
import { ColdFrames } from './cold-frames.js';
import { decodeAt } from './disk-reads.js';
import { type Segment } from './segment.js';
import { type SegmentList } from './segment-list.js';

/**
 * Reads older entries from disk, whole and checked, for those who want one record of them. Callers that want the same
 * entry share one read.
 */
export class ColdReader {
  readonly #segments: SegmentList;
  readonly #frames: ColdFrames;
  #loads = new Map<number, Promise<Entry | null>>();

  constructor(segments: SegmentList, bytesMax: number) {
    this.#segments = segments;
    this.#frames = new ColdFrames(bytesMax);
  }

  /** The entry that holds `position`, when a recent read left it in memory. */
  holding(position: number): Entry | undefined {
    return this.#frames.holding(position);
  }

  /**
   * The entry that holds `position`, which must be in the log and on disk.
   * @returns null when it was deleted or cut off meanwhile
   * @throws MqError LOG_CORRUPTED
   */
  load(position: number): Promise<Entry | null> {
    const segment = this.#segments.ofPosition(position);
    const index = segment.firstIndex + segment.positions.findAtOrBefore(position - segment.start);
    const running = this.#loads.get(index);
    if (running !== undefined) return running;
    const loads = this.#loads;
    const load = this.#read(segment, index).finally(() => loads.delete(index));
    loads.set(index, load);
    return load;
  }

  /** The tail of the log was cut off: forget everything, also what is being read. */
  clear(): void {
    this.#frames.clear();
    this.#loads = new Map();
  }

  async #read(segment: Segment, index: number): Promise<Entry | null> {
    const loads = this.#loads;
    const position = segment.positionOf(index);
    const bytes = await segment.readHeld(position, segment.endOf(index) - position);
    if (bytes === null || loads !== this.#loads) return null;
    const entry = decodeAt(segment, index, bytes, 0, position);
    this.#frames.admit(entry);
    return entry;
  }
}
