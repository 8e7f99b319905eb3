import { isMqError, type Clock, type Logger, type MqError } from '@raftmq/base';
import { type QueueIndex } from '@raftmq/broker-store';
import { consumeLimits, passesFilter } from '@raftmq/protocol';
import { type PollRegistry } from '../longpoll/poll-registry.js';
import { WaitingCall, type WaitingCaller } from '../longpoll/waiting-call.js';
import { type PullRequest, type PullResult } from '../messaging.js';
import { type Tables } from '../state/tables.js';
import { isExpired } from './expiry.js';
import { groupGone, isPaused } from './group-behaviour.js';
import { type MessagingProbe } from './probe.js';
import { scanQueue, type Candidate } from './selection.js';
import { type RecordLog } from './turn-records.js';

export interface PullerOptions {
  readonly tables: Tables;
  readonly queueIndex: QueueIndex;
  readonly log: RecordLog;
  readonly polls: PollRegistry;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly probe: MessagingProbe;
  /** null while this replica leads; else what calls are told. */
  readonly refusal: () => MqError | null;
}

/** Messages that a filter on properties looks into at a time. */
const LOOK_INTO_MAX = 1_024;

/**
 * Serves pull calls: reads messages of one queue from an offset on. Nothing is leased and nothing is remembered, so a
 * pull costs no entry of the log; the caller keeps the group's progress with offset updates.
 */
export class Puller {
  readonly #options: PullerOptions;

  constructor(options: PullerOptions) {
    this.#options = options;
  }

  /** Topic, queue and group must exist. @throws MqError see `Messaging.pull` */
  pull(request: PullRequest): Promise<PullResult> {
    const { queueIndex, clock } = this.#options;
    const { topic, queueId, offset } = request;
    const min = queueIndex.minOffset(topic, queueId);
    const max = queueIndex.maxOffset(topic, queueId);
    if (offset < min || offset > max) {
      const misplaced = offset < min && offset >= 0 ? 'before' : 'behind';
      const nextOffset = Math.min(Math.max(offset, min), max);
      return Promise.resolve({ records: [], nextOffset, misplaced });
    }
    return new Promise((resolve, reject) => {
      const deadlineMs = clock.monotonicMs() + request.pollingMs;
      this.#serve(new PullCall(request, deadlineMs, this, { resolve, reject }));
    });
  }

  /** See {@link Poll.attempt}. */
  attempt(call: PullCall): number | null {
    const { tables, queueIndex } = this.#options;
    const group = tables.groups.get(call.group);
    if (group === undefined) {
      call.failed(groupGone(call.group));
      return null;
    }
    // A change of the group wakes its polls.
    if (isPaused(group.config)) return Infinity;
    const { topic, queueId, request } = call;
    const { filter } = request;
    const found = scanQueue({
      queueIndex,
      topic,
      queueId,
      filter,
      fromOffset: call.nextOffset,
      countMax: filter.sql === null ? request.batchSize : LOOK_INTO_MAX,
      bytesMax: consumeLimits.receiveFrameSizeBytesMax,
    });
    if (found.candidates.length === 0) {
      call.nextOffset = found.endOffset;
      // A scan is cut off after so many entries: the next one goes on, once others have had their turn.
      return found.more ? 0 : Infinity;
    }
    void this.#answer(call, found.candidates, found.endOffset);
    return null;
  }

  /** The caller went away while it waited. */
  gone(call: PullCall): void {
    this.#options.polls.remove(call);
  }

  #serve(call: PullCall): void {
    if (call.settled) return;
    const { clock, polls, probe } = this.#options;
    const refusal = this.#options.refusal();
    if (refusal !== null) return call.failed(refusal);
    const lookAgainAtMs = this.attempt(call);
    if (lookAgainAtMs === null) return;
    if (call.deadlineMs <= clock.monotonicMs()) return call.timedOut();
    try {
      polls.park(call, call.deadlineMs, lookAgainAtMs);
    } catch (error) {
      probe.receivesRefused++;
      call.failed(error);
    }
  }

  async #answer(
    call: PullCall,
    candidates: readonly Candidate[],
    endOffset: number,
  ): Promise<void> {
    const { log, clock, polls, probe, logger } = this.#options;
    try {
      const records = candidates.map((c) => log.cachedRecord(c.position, c.sizeBytes));
      const missing = candidates.filter((_, i) => records[i] === null);
      if (missing.length > 0) {
        const read = await Promise.all(missing.map((c) => log.readRecord(c.position, c.sizeBytes)));
        missing.forEach((candidate, i) => (records[candidates.indexOf(candidate)] = read[i]!));
      }
      const nowMs = clock.wallMs();
      const mayLeave = (record: Buffer): boolean =>
        passesFilter(call.request.filter, record) && !isExpired(record, call.topic, nowMs, probe);
      const wanted = pick(call, candidates, records, endOffset, mayLeave);
      if (wanted.length > 0) {
        probe.messagesPulled += wanted.length;
        call.answer(wanted);
      } else if (call.deadlineMs <= clock.monotonicMs()) call.timedOut();
      // A filter may refuse all there is for a long time: others have their turn in between.
      else if (!call.settled) polls.park(call, call.deadlineMs, 0);
    } catch (error) {
      if (!isMqError(error)) logger.error({ error: String(error) }, 'a pull failed');
      call.failed(error);
    }
  }
}

/** The records to answer with; moves the call behind the last one that was looked at. */
function pick(
  call: PullCall,
  candidates: readonly Candidate[],
  records: readonly (Buffer | null)[],
  endOffset: number,
  mayLeave: (record: Buffer) => boolean,
): Buffer[] {
  const { batchSize } = call.request;
  const wanted: Buffer[] = [];
  for (let i = 0; i < candidates.length; i++) {
    const record = records[i]!;
    // null: retention took it between the index and the log.
    if (record === null || !mayLeave(record)) continue;
    if (wanted.length === batchSize) {
      call.nextOffset = candidates[i]!.offset;
      return wanted;
    }
    wanted.push(record);
  }
  call.nextOffset = endOffset;
  return wanted;
}

/** One pull call. */
export class PullCall extends WaitingCall<PullResult> {
  readonly request: PullRequest;
  readonly queueId: number;
  readonly filterKey: string;
  /** Everything from the request's offset up to here was looked at. */
  nextOffset: number;
  readonly #puller: Puller;

  constructor(
    request: PullRequest,
    deadlineMs: number,
    puller: Puller,
    caller: WaitingCaller<PullResult>,
  ) {
    super(request, deadlineMs, caller);
    this.request = request;
    this.queueId = request.queueId;
    this.filterKey = `pull/${request.queueId}/${request.offset}/${request.filter.key}`;
    this.nextOffset = request.offset;
    this.#puller = puller;
    if (request.signal.aborted) this.timedOut();
  }

  attempt(): number | null {
    return this.#puller.attempt(this);
  }

  timedOut(): void {
    this.answer([]);
  }

  answer(records: readonly Buffer[]): void {
    this.settle({ records, nextOffset: this.nextOffset, misplaced: null });
  }

  protected gone(): void {
    this.#puller.gone(this);
  }
}
