/** What earlier calls of a convoy take from a queue. */
export interface OpenTurn {
  readonly convoy: Convoy;
  /** They looked at new messages below. */
  endOffset: number;
  freshCount: number;
  /** What they take or drop of what was handed out before. */
  readonly again: Set<number>;
}

/** Calls of one group and topic whose deliveries become one proposal: all of them take effect, or none. */
export interface Convoy {
  calls: number;
}

/** Leader-side memory of one (group, topic, queue): never replicated, forgotten with the leadership. */
export interface QueueTurn {
  readonly queueId: number;
  /** A delivery of this queue is on its way: others wait for their turn. */
  busy: boolean;
  /** The delivery is not proposed yet: calls that come now may take what lies behind, and go with it. */
  open: OpenTurn | null;
  /** Delivery epoch of the last look; see `deliveryEpoch`. */
  epoch: number;
  /** New messages below were looked at, and none fits the group's filter. */
  scanFrom: number;
  /** Deliveries so far. */
  turns: number;
}

/** All queues of a topic as one group sees them. */
export interface GroupTurns {
  readonly queues: QueueTurn[];
  /** Lite topics that are being looked at, by their queue id. */
  readonly lite: Map<number, QueueTurn>;
  /** The queue at which the next receive starts to look. */
  rotation: number;
}

/** The turns of every group and topic. */
export class QueueTurns {
  readonly #groups = new Map<string, Map<string, GroupTurns>>();

  /** @param queues number of queues of the topic; may have grown since the last call */
  of(group: string, topic: string, queues: number): GroupTurns {
    let topics = this.#groups.get(group);
    if (topics === undefined) this.#groups.set(group, (topics = new Map<string, GroupTurns>()));
    let turns = topics.get(topic);
    if (turns === undefined)
      topics.set(topic, (turns = { queues: [], lite: new Map(), rotation: 0 }));
    for (let queueId = turns.queues.length; queueId < queues; queueId++) {
      turns.queues.push(newTurn(queueId));
    }
    return turns;
  }

  /** A delivery that is still on its way keeps its own turn object, which nobody looks at any more. */
  forgetTopic(topic: string): void {
    for (const topics of this.#groups.values()) topics.delete(topic);
  }

  forgetGroup(group: string): void {
    this.#groups.delete(group);
  }

  clear(): void {
    this.#groups.clear();
  }
}

/** The turn of a lite topic, made when there is none. */
export function liteTurn(turns: GroupTurns, queueId: number): QueueTurn {
  let turn = turns.lite.get(queueId);
  if (turn === undefined) turns.lite.set(queueId, (turn = newTurn(queueId)));
  return turn;
}

function newTurn(queueId: number): QueueTurn {
  return { queueId, busy: false, open: null, epoch: 0, scanFrom: 0, turns: 0 };
}
