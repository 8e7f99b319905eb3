import { MqError, type Clock } from '@raftmq/base';
import { type DueItem } from '../pop/due-queue.js';
import { Alarm } from './alarm.js';

/** A receive call that waits for messages. */
export interface Poll {
  readonly topic: string;
  readonly group: string;
  /** One queue, or null for all. */
  readonly queueId: number | null;
  /** Equal for polls that can be served by the same messages. */
  readonly filterKey: string;
  /** Kept by the registry. */
  place: PollPlace | null;
  /**
   * Tries to serve the poll now.
   * @returns null when it is being served and waits no longer; else when to look again by itself, on the wall clock
   */
  attempt(): number | null;
  /** Its time is over without a message. */
  timedOut(): void;
  /** It cannot wait any longer. */
  failed(error: MqError): void;
}

/** Where a waiting poll stands; made by the registry. */
export interface PollPlace extends DueItem {
  readonly poll: Poll;
  readonly line: Line;
}

export interface PollLimits {
  /** Waiting polls per (topic, group, queue). */
  readonly pollersPerQueueMax: number;
  readonly pollersMax: number;
}

/** Polls that the same messages can serve, oldest first. */
interface Line extends DueItem {
  readonly key: string;
  readonly party: Party;
  readonly polls: Set<Poll>;
}

/** All lines of one group on one topic. */
interface Party {
  readonly topic: string;
  readonly group: string;
  readonly lines: Map<string, Line>;
  /** Waiting polls by queue, -1 for those on all queues. */
  readonly counts: Map<number, number>;
}

/**
 * Receive calls that wait. Polls that can be served by the same messages stand in one line; a wake-up serves lines from
 * the front and stops at the first poll that finds nothing, so its cost is the polls served plus the lines there are.
 */
export class PollRegistry {
  readonly #clock: Clock;
  readonly #limits: PollLimits;
  readonly #topics = new Map<string, Map<string, Party>>();
  readonly #deadlines: Alarm<PollPlace>;
  readonly #lookAgain: Alarm<Line>;
  #size = 0;

  constructor(clock: Clock, limits: PollLimits) {
    this.#clock = clock;
    this.#limits = limits;
    this.#deadlines = new Alarm(clock, (place) => {
      this.remove(place.poll);
      place.poll.timedOut();
    });
    this.#lookAgain = new Alarm(clock, (line) => this.#serve(line));
  }

  /** Polls that wait now. */
  get size(): number {
    return this.#size;
  }

  /**
   * Lets a poll wait.
   * @param deadlineMs on the monotonic clock: then it times out
   * @param lookAgainAtMs on the wall clock: what the poll's last attempt returned
   * @throws MqError TOO_MANY_REQUESTS when too many wait
   */
  park(poll: Poll, deadlineMs: number, lookAgainAtMs: number): void {
    const party = this.#party(poll);
    const queueKey = poll.queueId ?? -1;
    const waiting = party.counts.get(queueKey) ?? 0;
    if (this.#size >= this.#limits.pollersMax || waiting >= this.#limits.pollersPerQueueMax) {
      this.#dropIfEmpty(party);
      throw new MqError(
        'TOO_MANY_REQUESTS',
        `polling full: ${waiting} polls of group ${poll.group} wait on topic ${poll.topic}, ${this.#size} in all; ` +
          'poll with fewer threads or a larger batch',
      );
    }
    party.counts.set(queueKey, waiting + 1);
    this.#size++;
    const line = lineOf(party, poll.filterKey);
    line.polls.add(poll);
    const place: PollPlace = { poll, line, dueMs: deadlineMs, heapIndex: -1 };
    poll.place = place;
    this.#deadlines.set(place, deadlineMs);
    const dueMs = this.#monotonic(lookAgainAtMs);
    if (line.heapIndex < 0 || dueMs < line.dueMs) this.#lookAgain.set(line, dueMs);
  }

  /** Takes a poll out; does nothing when it does not wait. */
  remove(poll: Poll): void {
    const { place } = poll;
    if (place === null) return;
    poll.place = null;
    this.#deadlines.clear(place);
    const { line } = place;
    const { party } = line;
    line.polls.delete(poll);
    this.#size--;
    const queueKey = poll.queueId ?? -1;
    party.counts.set(queueKey, party.counts.get(queueKey)! - 1);
    if (line.polls.size > 0) return;
    this.#lookAgain.clear(line);
    party.lines.delete(line.key);
    this.#dropIfEmpty(party);
  }

  /** Something may have become available on the topic: for one group, or null for all. */
  wake(topic: string, group: string | null): void {
    const parties = this.#topics.get(topic);
    if (parties === undefined) return;
    if (group === null) for (const party of [...parties.values()]) this.#serveParty(party);
    else {
      const party = parties.get(group);
      if (party !== undefined) this.#serveParty(party);
    }
  }

  /** A group behaves differently now: looks at all of its polls. */
  wakeGroup(group: string): void {
    for (const parties of [...this.#topics.values()]) {
      const party = parties.get(group);
      if (party !== undefined) this.#serveParty(party);
    }
  }

  /** Fails every poll, or those of one topic. */
  failAll(error: MqError, topic: string | null = null): void {
    for (const [name, parties] of [...this.#topics]) {
      if (topic !== null && name !== topic) continue;
      const polls = [...parties.values()].flatMap((party) =>
        [...party.lines.values()].flatMap((line) => [...line.polls]),
      );
      for (const poll of polls) {
        this.remove(poll);
        poll.failed(error);
      }
    }
  }

  /** Ends all timers. Polls must have been failed before. */
  stop(): void {
    this.#deadlines.stop();
    this.#lookAgain.stop();
  }

  #serveParty(party: Party): void {
    for (const line of [...party.lines.values()]) this.#serve(line);
  }

  #serve(line: Line): void {
    for (const poll of line.polls) {
      const lookAgainAtMs = poll.attempt();
      if (lookAgainAtMs !== null) {
        this.#lookAgain.set(line, this.#monotonic(lookAgainAtMs));
        return;
      }
      this.remove(poll);
    }
  }

  /** When a wall-clock time comes, on the monotonic clock. */
  #monotonic(atWallMs: number): number {
    return this.#clock.monotonicMs() + Math.max(0, atWallMs - this.#clock.wallMs());
  }

  #party(poll: Poll): Party {
    let parties = this.#topics.get(poll.topic);
    if (parties === undefined) this.#topics.set(poll.topic, (parties = new Map<string, Party>()));
    let party = parties.get(poll.group);
    if (party === undefined) {
      party = { topic: poll.topic, group: poll.group, lines: new Map(), counts: new Map() };
      parties.set(poll.group, party);
    }
    return party;
  }

  #dropIfEmpty(party: Party): void {
    if (party.lines.size > 0) return;
    const parties = this.#topics.get(party.topic);
    parties?.delete(party.group);
    if (parties?.size === 0) this.#topics.delete(party.topic);
  }
}

function lineOf(party: Party, key: string): Line {
  let line = party.lines.get(key);
  if (line === undefined) {
    line = { key, party, polls: new Set(), dueMs: Infinity, heapIndex: -1 };
    party.lines.set(key, line);
  }
  return line;
}
