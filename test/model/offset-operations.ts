import { strict as assert } from 'node:assert';
import { isMqError } from '@raftmq/base';
import { type OffsetQuery, type ResetTarget } from '@raftmq/broker/internal';
import { GROUPS, TOPICS, type ModelGroup } from './model-groups.js';
import { type ModelTools } from './model-tools.js';

/** A pull that finds nothing among so many messages may answer before it has seen all of them. */
const PULL_LOOKS_AT = 1_000;

interface Place {
  readonly group: ModelGroup;
  readonly queue: { readonly group: string; readonly topic: string; readonly queueId: number };
  readonly end: number;
}

/** Calls that work with offsets: nothing is leased, and groups are moved about. */
export class OffsetOperations {
  readonly #tools: ModelTools;

  constructor(tools: ModelTools) {
    this.#tools = tools;
  }

  /** Where the group stands, and a little farther on now and then. */
  async offset(): Promise<void> {
    const { prng, watch } = this.#tools;
    const { queue, end } = this.#place();
    const { group, topic, queueId } = queue;
    const expected = watch.referee.delivery(group, topic, queueId)?.committedOffset ?? null;
    const service = this.#tools.service();
    assert.equal(await service.committedOffset(queue), expected, 'committed offset');
    watch.offsetRead(queue, expected);
    if (!prng.chance(0.3)) return;
    const offset = Math.min(end, (expected ?? 0) + prng.integer(0, 2));
    const moved = await service.updateOffset(queue, offset);
    assert.ok(moved >= offset && moved >= (expected ?? 0), 'an offset is not moved back');
    watch.offsetRead(queue, moved);
  }

  /** Messages from an offset on: the next ones that the filter lets through, as many as asked for. */
  async pull(): Promise<void> {
    const { prng, watch } = this.#tools;
    const { group, queue, end } = this.#place();
    const { topic, queueId } = queue;
    const offset = prng.integer(0, end + 1);
    const batchSize = prng.integer(1, 8);
    const { records, nextOffset, misplaced } = await this.#tools.service().pull({
      ...queue,
      offset,
      batchSize,
      pollingMs: 0,
      filter: group.filter,
      signal: new AbortController().signal,
    });
    assert.equal(misplaced, offset > end ? 'behind' : null, `pull from ${offset} of ${end}`);
    if (misplaced !== null) return assert.equal(nextOffset, end);
    watch.pulled(queue, offset, records, nextOffset);
    const behind = (watch.referee.topics.get(topic)?.queues[queueId] ?? []).slice(offset);
    const wanted = behind.filter(group.wants);
    const paused = watch.referee.groups.get(queue.group)?.paused === true;
    if (behind.length < PULL_LOOKS_AT)
      assert.equal(records.length, paused ? 0 : Math.min(batchSize, wanted.length));
  }

  /** A place in a queue by name. */
  async query(): Promise<void> {
    const { queue, end } = this.#place();
    const query = this.#query();
    const found = await this.#tools.service().queryOffset(queue.topic, queue.queueId, query);
    assert.equal(found, this.#resolve(queue, end, query), `offset by ${query.kind}`);
  }

  async reset(): Promise<void> {
    const { prng, watch } = this.#tools;
    const { queue, end } = this.#place();
    const { group, topic, queueId } = queue;
    const target: ResetTarget = prng.chance(0.3)
      ? { kind: 'offset', offset: prng.integer(0, end + 1) }
      : this.#query();
    const reset = this.#tools.service().resetOffset(group, topic, queueId, target, false);
    if (target.kind === 'offset' && target.offset > end) {
      const code = await reset.then(
        () => 'OK',
        (error: unknown) => (isMqError(error) ? error.code : String(error)),
      );
      return assert.equal(code, 'ILLEGAL_OFFSET');
    }
    const [placed] = await reset;
    watch.resetGroups.add(group);
    const expected = target.kind === 'offset' ? target.offset : this.#resolve(queue, end, target);
    assert.equal(placed?.after, expected, `reset to ${target.kind}`);
    assert.equal(watch.referee.delivery(group, topic, queueId)?.committedOffset, expected);
  }

  #query(): OffsetQuery {
    const { prng, clock } = this.#tools;
    return prng.pick<OffsetQuery>([
      { kind: 'beginning' },
      { kind: 'end' },
      { kind: 'timestamp', timestampMs: clock.nowMs - prng.integer(-1_000, 30_000) },
    ]);
  }

  #resolve({ topic, queueId }: Place['queue'], end: number, query: OffsetQuery): number {
    if (query.kind === 'beginning') return 0;
    if (query.kind === 'end') return end;
    const queue = this.#tools.watch.referee.topics.get(topic)?.queues[queueId] ?? [];
    const first = queue.find(({ storeTimestampMs }) => storeTimestampMs >= query.timestampMs);
    return first?.queueOffset ?? end;
  }

  /** A queue, and a group that reads from it. Lite topics know no offsets: subscriptions say where they begin. */
  #place(): Place {
    const { prng, watch } = this.#tools;
    const group = prng.pick(GROUPS.filter(({ topic }) => topic !== 'lite'));
    const { topic } = group;
    const { queues } = TOPICS.find(({ name }) => name === topic)!;
    const queueId = prng.integer(0, queues - 1);
    const end = watch.referee.topics.get(topic)?.queues[queueId]?.length ?? 0;
    return { group, queue: { group: group.config.name, topic, queueId }, end };
  }
}
