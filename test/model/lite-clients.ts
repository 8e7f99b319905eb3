import { strict as assert } from 'node:assert';
import { isMqError } from '@raftmq/base';
import { liteAction, type LiteStart } from '@raftmq/protocol';
import { GROUPS, type ModelGroup } from './model-groups.js';
import { type ModelTools } from './model-tools.js';

const LITE = 'lite';
/** Sent to and subscribed to; more than the limit, so that it is met. */
const NAMES = Array.from({ length: 14 }, (_, i) => `l${i}`);
export const LITE_TOPICS_MAX = 12;
export const LITE_SUBSCRIPTIONS_MAX = 8;

/** Subscriptions to lite topics, and what they are to bring. */
export class LiteClients {
  readonly #tools: ModelTools;

  constructor(tools: ModelTools) {
    this.#tools = tools;
  }

  /** The name for messages of one send. */
  name(): string {
    return this.#tools.prng.pick(NAMES);
  }

  /** Whether a message of this name may be sent. */
  hasRoom(name: string): boolean {
    const { lites } = this.#tools.watch.referee;
    return lites.byName(LITE, name) !== null || [...lites.topics(LITE)].length < LITE_TOPICS_MAX;
  }

  async subscribe(clientId: string): Promise<void> {
    const { prng } = this.#tools;
    const group = prng.pick(GROUPS.filter(({ topic }) => topic === LITE));
    const action = prng.pick([
      liteAction.PARTIAL_ADD,
      liteAction.PARTIAL_ADD,
      liteAction.PARTIAL_REMOVE,
      liteAction.COMPLETE_ADD,
      liteAction.COMPLETE_REMOVE,
    ]);
    const names = Array.from({ length: prng.integer(0, 4) }, () => this.name());
    const before = new Set(this.#names(group, clientId));
    const refused = await this.#sync(group, clientId, action, names, this.#start());
    const after = this.#names(group, clientId);
    const expected = refused ? before : expectedNames(before, action, names);
    assert.deepEqual([...after].sort(), [...expected].sort(), `what ${clientId} takes from`);
  }

  /** Who takes everything that there is. @returns their client ids */
  async subscribeToAll(group: ModelGroup): Promise<readonly string[]> {
    const { referee } = this.#tools.watch;
    const names = [...referee.lites.topics(LITE)].map(({ name }) => name);
    const clients: string[] = [];
    for (let from = 0; from < names.length; from += LITE_SUBSCRIPTIONS_MAX) {
      const clientId = `everything-${from}`;
      const some = names.slice(from, from + LITE_SUBSCRIPTIONS_MAX);
      const refused = await this.#sync(group, clientId, liteAction.COMPLETE_ADD, some, null);
      assert.ok(!refused);
      clients.push(clientId);
    }
    return clients;
  }

  /** Ids of the lite topics that a client may get messages from. */
  queuesOf({ config }: ModelGroup, clientId: string): readonly number[] {
    const { lites } = this.#tools.watch.referee;
    const names = lites.subscriptions(LITE, config.name, clientId);
    return [...lites.topics(LITE)].filter(({ name }) => names.has(name)).map(({ id }) => id);
  }

  #names({ config }: ModelGroup, clientId: string): ReadonlySet<string> {
    return this.#tools.watch.referee.lites.subscriptions(LITE, config.name, clientId);
  }

  #start(): LiteStart | null {
    const { prng, clock } = this.#tools;
    return prng.pick<LiteStart | null>([
      null,
      null,
      { kind: 'min' },
      { kind: 'max' },
      { kind: 'tail', count: prng.integer(0, 8) },
      { kind: 'offset', offset: prng.integer(0, 60) },
      { kind: 'time', timestampMs: clock.nowMs - prng.integer(0, 60_000) },
    ]);
  }

  /** @returns whether a limit was met */
  async #sync(
    group: ModelGroup,
    clientId: string,
    action: number,
    names: readonly string[],
    start: LiteStart | null,
  ): Promise<boolean> {
    const change = { topic: LITE, group: group.config.name, clientId, action, names, start };
    try {
      await this.#tools.service().syncLiteSubscription(change);
      return false;
    } catch (error) {
      if (isMqError(error) && /^LITE_.*_QUOTA_EXCEEDED$/.test(error.code)) return true;
      throw error;
    }
  }
}

function expectedNames(
  before: ReadonlySet<string>,
  action: number,
  names: readonly string[],
): Set<string> {
  if (action === liteAction.COMPLETE_ADD) return new Set(names);
  if (action === liteAction.COMPLETE_REMOVE) return new Set();
  if (action === liteAction.PARTIAL_ADD) return new Set([...before, ...names]);
  return new Set([...before].filter((name) => !names.includes(name)));
}
