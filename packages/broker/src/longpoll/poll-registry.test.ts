import { beforeEach, describe, expect, test } from '@jest/globals';
import { MqError } from '@raftmq/base';
import { ManualClock } from '../testing/single-node.js';
import { PollRegistry, type Poll, type PollPlace } from './poll-registry.js';

let clock: ManualClock;
let polls: PollRegistry;
/** Messages that a poll would find, and what happened, in order. */
let messages = 0;
let events: string[] = [];
let attempts = 0;

class TestPoll implements Poll {
  place: PollPlace | null = null;
  readonly name: string;
  readonly topic: string;
  readonly group: string;
  readonly queueId: number | null;
  readonly filterKey: string;
  lookAgainAtMs = Infinity;

  constructor(
    name: string,
    topic = 't',
    group = 'g',
    queueId: number | null = null,
    filterKey = '',
  ) {
    this.name = name;
    this.topic = topic;
    this.group = group;
    this.queueId = queueId;
    this.filterKey = filterKey;
  }

  attempt(): number | null {
    attempts++;
    if (messages === 0) return this.lookAgainAtMs;
    messages--;
    events.push(`${this.name} served`);
    return null;
  }

  timedOut(): void {
    events.push(`${this.name} timed out`);
  }

  failed(error: MqError): void {
    events.push(`${this.name} ${error.code}`);
  }
}

function park(poll: TestPoll, forMs = 1_000, lookAgainAtMs = Infinity): TestPoll {
  polls.park(poll, clock.monotonicMs() + forMs, lookAgainAtMs);
  return poll;
}

beforeEach(() => {
  clock = new ManualClock();
  polls = new PollRegistry(clock, { pollersPerQueueMax: 3, pollersMax: 5 });
  messages = 0;
  attempts = 0;
  events = [];
});

describe('the poll registry', () => {
  test('serves a line from the front and stops at the first poll that finds nothing', () => {
    park(new TestPoll('a'));
    park(new TestPoll('b'));
    park(new TestPoll('c'));
    messages = 1;
    polls.wake('t', null);
    expect(events).toEqual(['a served']);
    expect(attempts).toBe(2);
    expect(polls.size).toBe(2);
  });

  test('a line that finds nothing does not hold up another filter', () => {
    const picky = park(new TestPoll('picky', 't', 'g', null, 'tagA'));
    picky.attempt = () => Infinity;
    park(new TestPoll('any'));
    messages = 1;
    polls.wake('t', 'g');
    expect(events).toEqual(['any served']);
  });

  test('wakes only the group and topic that have news', () => {
    park(new TestPoll('here'));
    park(new TestPoll('other group', 't', 'h'));
    park(new TestPoll('other topic', 'u'));
    messages = 3;
    polls.wake('t', 'h');
    polls.wake('nowhere', null);
    expect(events).toEqual(['other group served']);
  });

  test('times out at the deadline, never before it, and at most 10 ms later', async () => {
    park(new TestPoll('late'), 1_005);
    park(new TestPoll('soon'), 1_000);
    await clock.advance(999);
    expect(events).toEqual([]);
    await clock.advance(1);
    expect(events).toEqual(['soon timed out']);
    // Not long after another one: both together cost one timer less.
    await clock.advance(5);
    expect(events).toEqual(['soon timed out']);
    await clock.advance(5);
    expect(events).toEqual(['soon timed out', 'late timed out']);
    expect(polls.size).toBe(0);
  });

  test('looks again by itself when something becomes visible, and takes the earliest of a line', async () => {
    park(new TestPoll('a'), 60_000, clock.wallMs() + 5_000);
    park(new TestPoll('b'), 60_000, clock.wallMs() + 2_000);
    messages = 1;
    await clock.advance(1_999);
    expect(events).toEqual([]);
    await clock.advance(10);
    expect(events).toEqual(['a served']);
    // The second poll's attempt said that there is nothing to look for.
    messages = 1;
    await clock.advance(10_000);
    expect(events).toEqual(['a served']);
  });

  test('a wake-up moves the next look to what the attempt found', async () => {
    const poll = park(new TestPoll('a'), 60_000);
    poll.lookAgainAtMs = clock.wallMs() + 3_000;
    polls.wake('t', 'g');
    messages = 1;
    await clock.advance(2_999);
    expect(events).toEqual([]);
    await clock.advance(10);
    expect(events).toEqual(['a served']);
  });

  test('refuses polls beyond the limit of a queue and of the broker, and has room again after one left', () => {
    const first = park(new TestPoll('1'));
    park(new TestPoll('2'));
    park(new TestPoll('3'));
    expect(() => park(new TestPoll('4'))).toThrow('polling full');
    park(new TestPoll('5', 't', 'g', 0));
    park(new TestPoll('6', 't', 'h'));
    expect(() => park(new TestPoll('7', 'u'))).toThrow('polling full');
    polls.remove(first);
    polls.remove(first);
    park(new TestPoll('8'));
    expect(polls.size).toBe(5);
  });

  test('fails the polls of one topic, or all, and leaves no timer behind', async () => {
    park(new TestPoll('a'));
    park(new TestPoll('b', 'u'));
    polls.failAll(new MqError('TOPIC_NOT_FOUND'), 't');
    polls.failAll(new MqError('HA_NOT_AVAILABLE'));
    await clock.advance(5_000);
    expect(events).toEqual(['a TOPIC_NOT_FOUND', 'b HA_NOT_AVAILABLE']);
  });
});
