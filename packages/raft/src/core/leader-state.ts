import { assert, RingQueue } from '@raftmq/base';
import { type RaftCoreConfig } from './config.js';
import { Progress } from './progress.js';
import { ReadIndex } from './read-index.js';
import { type NodeId } from './types.js';

/** What a replica knows only while it leads. */
export class LeaderState {
  /** One per peer, in the order of the replica's `peers`. */
  readonly progress: readonly Progress[];
  readonly reads: ReadIndex;
  /** Index of the first entry of this leader's term: nothing is committed by counting below it (R06). */
  readonly noopIndex: number;
  /** It needed the votes of replicas that may have forgotten something, so all had to vote (R23). */
  readonly electedByAll: boolean;
  /** Scratch for quorum arithmetic, one slot per voter. */
  readonly scratch: Float64Array;
  heartbeatDueMs: number;
  /** Who takes over (R11); while set, proposals and the lease are closed. */
  transferTarget: NodeId | null = null;
  transferDeadlineMs = 0;
  transferSent = false;
  /** End positions of this term's entries that are not committed, oldest first. */
  readonly #uncommittedEnds = new RingQueue<number>();
  #committedIndex: number;
  #committedEnd: number;
  #end: number;

  /** @param noopPosition where the no-op starts in the log */
  constructor(
    peers: readonly NodeId[],
    noopIndex: number,
    noopPosition: number,
    nowMs: number,
    config: RaftCoreConfig,
    electedByAll = false,
  ) {
    this.progress = peers.map((peer) => new Progress(peer, noopIndex, nowMs, config));
    this.reads = new ReadIndex(config.maxPendingReads);
    this.noopIndex = noopIndex;
    this.electedByAll = electedByAll;
    this.scratch = new Float64Array(peers.length + 1);
    this.heartbeatDueMs = nowMs + config.heartbeatIntervalMs;
    this.#committedIndex = noopIndex - 1;
    this.#committedEnd = noopPosition;
    this.#end = noopPosition;
  }

  /** Bytes of this term's entries that are not committed (R30). */
  get uncommittedBytes(): number {
    return this.#end - this.#committedEnd;
  }

  progressOf(peer: NodeId): Progress {
    for (const progress of this.progress) if (progress.id === peer) return progress;
    assert(false, 'a leader knows all its peers');
    throw new Error('unreachable');
  }

  /** An entry of this term that ends at `endPosition` was appended. */
  appended(endPosition: number): void {
    this.#uncommittedEnds.push(endPosition);
    this.#end = endPosition;
  }

  committed(index: number): void {
    while (this.#committedIndex < index) {
      const end = this.#uncommittedEnds.shift();
      assert(end !== undefined, 'only appended entries are committed');
      this.#committedEnd = end;
      this.#committedIndex++;
    }
  }
}
