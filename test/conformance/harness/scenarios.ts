import { type TopicType } from '@raftmq/protocol';
import { type Circumstances, type Facts, numbers, Verdict } from './judge.js';

/** A consumer group to be there before a program starts; the suffix goes behind the group name of the program. */
interface GroupPlan {
  readonly suffix: string;
  readonly fifo?: boolean;
  readonly maxAttempts?: number;
}

/** One feature: what a program of any SDK needs, and what its facts must be. */
export interface Scenario {
  /** Name of the program of each SDK. */
  readonly id: string;
  /** Row in the table of `docs/compatibility.md`. */
  readonly title: string;
  readonly topicType: TopicType;
  /** Topics: suffixes behind the topic name of the program. */
  readonly topics?: readonly string[];
  readonly namespaces?: readonly string[];
  readonly groups: readonly GroupPlan[];
  /** Complaints about the facts; none when the feature works. */
  judge(facts: Facts, circumstances: Circumstances): readonly string[];
}

const MAX_ATTEMPTS = 3;

type Judge<T> = (facts: T, verdict: Verdict, circumstances: Circumstances) => void;

function judged<T>(judge: Judge<T & { wrong?: string[] }>): Scenario['judge'] {
  return (facts, circumstances) => {
    const verdict = new Verdict();
    const typed = facts as unknown as T & { wrong?: string[] };
    judge(typed, verdict, circumstances);
    verdict.equal(typed.wrong ?? [], [], 'what the program found wrong');
    return verdict.complaints;
  };
}

interface NormalFacts {
  count: number;
  sent: number;
  resent: number;
  /** Messages of which a repeated send stored a second copy. */
  storedTwice: number;
  simple: number;
  simpleTwice: number;
  push?: number;
  pushTwice?: number;
}

const judgeNormal = judged<NormalFacts>((facts, verdict) => {
  verdict.equal(facts.sent, facts.count, 'messages sent');
  verdict.equal(facts.storedTwice, 0, 'messages stored twice by a repeated send');
  verdict.equal(facts.simple, facts.count, 'messages of SimpleConsumer');
  verdict.equal(facts.simpleTwice, 0, 'messages that came twice to SimpleConsumer');
  verdict.equal(facts.push ?? facts.count, facts.count, 'messages of PushConsumer');
  verdict.equal(facts.pushTwice ?? 0, 0, 'messages that came twice to PushConsumer');
});

interface FifoFacts {
  groups: number;
  count: number;
  failsOnce: number;
  /** `group/number` of the message that always fails; '' when there is none. */
  poison: string;
  /** What was consumed of each message group, failed attempts included. */
  seen: number[][];
  dead: string[];
  resent: number;
}

const judgeFifo = judged<FifoFacts>((facts, verdict, { killed }) => {
  const [poisonGroup, poison] = facts.poison.split('/').map(Number);
  facts.seen.forEach((seen, g) => {
    const again = (i: number): number =>
      g === poisonGroup && i === poison ? MAX_ATTEMPTS : i === facts.failsOnce ? 2 : 1;
    const all = numbers(0, facts.count).flatMap((i) => Array<number>(again(i)).fill(i));
    if (!killed) verdict.equal(seen, all, `what came of group ${g}`);
    // Whatever is redelivered: nothing may come before all of its predecessors have come.
    let next = 0;
    for (const i of seen) {
      verdict.check(i <= next, `group ${g}: ${i} came before ${next}`);
      if (i === next) next++;
    }
    verdict.equal(next, facts.count, `messages of group ${g} that came in order`);
  });
  verdict.equal(facts.dead, facts.poison === '' ? [] : [facts.poison], 'dead letters');
});

interface DelayFacts {
  count: number;
  resent: number;
  received: number;
  twice: number;
  early: number;
  lateMsMax: number;
}

const judgeDelay = judged<DelayFacts>((facts, verdict) => {
  verdict.equal(facts.received, facts.count, 'messages received');
  verdict.equal(facts.early, 0, 'messages before their time');
  verdict.check(facts.twice <= facts.resent, `${facts.twice} messages came twice`);
});

interface RecallFacts {
  count: number;
  recalled: number[];
  received: number[];
  garbage: string;
  delivered: string;
}

const judgeRecall = judged<RecallFacts>((facts, verdict) => {
  const kept = numbers(0, facts.count).filter((i) => !facts.recalled.includes(i));
  verdict.cameOnce(facts.received, kept, 'messages received');
  verdict.equal(facts.garbage, 'refused', 'a recall with a handle that is none');
  verdict.equal(facts.delivered, 'refused', 'a recall after the delivery');
});

interface TransactionFacts {
  count: number;
  tooEarly: number;
  received: number[];
}

const judgeTransaction = judged<TransactionFacts>((facts, verdict) => {
  verdict.equal(facts.tooEarly, 0, 'messages before the commit');
  const committed = numbers(0, facts.count).filter((i) => i % 2 === 0);
  verdict.cameOnce(facts.received, committed, 'messages received');
});

interface OrphanFacts {
  count: number;
  halves: number;
  received: number[];
  asked: number[];
}

const judgeOrphan = judged<OrphanFacts>((facts, verdict) => {
  verdict.equal(facts.halves, facts.count, 'half messages of the killed producer');
  const committed = numbers(0, facts.count).filter((i) => i % 2 === 0);
  verdict.cameOnce(facts.received, committed, 'messages received');
  const answered = facts.asked.filter((times) => times >= 2).length;
  verdict.equal(answered, facts.count, 'half messages asked about again after no answer');
});

interface SimpleFacts {
  perKind: number;
  /** What the SDK can do with a message besides an ack; all of {@link INVISIBLE_MS} where the program names none. */
  kinds?: string[];
  again: { kind: string; afterMs: number; attempt: number }[];
  left: string[];
  stale: string;
}

const INVISIBLE_MS: Readonly<Record<string, number>> = {
  left: 10_000,
  extended: 14_000,
  shortened: 2_000,
};

const judgeSimple = judged<SimpleFacts>((facts, verdict, { killed }) => {
  const kinds = facts.kinds ?? Object.keys(INVISIBLE_MS);
  verdict.check(kinds.includes('left'), 'no message was left alone');
  for (const kind of kinds) {
    const invisibleMs = INVISIBLE_MS[kind]!;
    const came = facts.again.filter((one) => one.kind === kind);
    verdict.equal(came.length, facts.perKind, `messages ${kind} that came again`);
    for (const { afterMs, attempt } of came) {
      verdict.check(afterMs >= invisibleMs, `one ${kind} came again after ${afterMs} ms`);
      verdict.check(killed ? attempt >= 2 : attempt === 2, `one ${kind} is attempt ${attempt}`);
    }
  }
  verdict.equal(facts.again.length, kinds.length * facts.perKind, 'messages that came again');
  verdict.equal(facts.left, [], 'messages that came a third time');
  verdict.equal(facts.stale, 'INVALID_RECEIPT_HANDLE', 'the answer to a stale receipt handle');
});

interface PushFacts {
  maxAttempts: number;
  never: number[][];
  once: number[][];
  always: number[][];
  expectedDead: number[];
  dead: number[];
}

const judgePush = judged<PushFacts>((facts, verdict, { killed }) => {
  const attempts = { never: [1], once: [1, 2], always: numbers(1, facts.maxAttempts + 1) };
  for (const kind of ['never', 'once', 'always'] as const) {
    for (const came of facts[kind]) {
      if (!killed) verdict.equal(came, attempts[kind], `attempts of one that fails ${kind}`);
      verdict.check(came.length > 0, `one that fails ${kind} never came`);
      verdict.check(
        came.every((one) => one <= facts.maxAttempts),
        `one that fails ${kind} came as attempt ${Math.max(...came)}`,
      );
    }
  }
  verdict.cameOnce(facts.dead, facts.expectedDead, 'dead letters');
});

interface FilterFacts {
  expected: Record<string, number[]>;
  got: Record<string, number[]>;
  /** Of SQL: messages that were given back and came again, one wanted for each group. */
  retried?: number;
  groups?: number;
  refused?: string;
}

const judgeFilter = judged<FilterFacts>((facts, verdict, { killed }) => {
  for (const [name, expected] of Object.entries(facts.expected))
    verdict.cameOnce(facts.got[name] ?? [], expected, `what "${name}" selected`, killed);
  verdict.check((facts.retried ?? 0) >= (facts.groups ?? 0), 'a retried message was filtered away');
  verdict.equal(facts.refused ?? 'refused', 'refused', 'an expression that is none');
});

interface TopicsFacts {
  expected: number;
  simple: number;
  push?: number;
  strays: unknown[];
}

const judgeTopics = judged<TopicsFacts>((facts, verdict) => {
  verdict.equal(facts.simple, facts.expected, 'messages of SimpleConsumer');
  verdict.equal(facts.push ?? facts.expected, facts.expected, 'messages of PushConsumer');
  verdict.equal(facts.strays, [], 'messages under another topic');
});

interface NamespacesFacts {
  count: number;
  namespaces: string[];
  facts: Record<string, { simple: string[]; push?: string[] }>;
}

const judgeNamespaces = judged<NamespacesFacts>((facts, verdict, { killed }) => {
  for (const namespace of facts.namespaces) {
    const own = numbers(0, facts.count).map((i) => `${namespace}/${i}`);
    const { simple, push } = facts.facts[namespace]!;
    verdict.cameOnce(simple, own, `messages of SimpleConsumer in ${namespace}`, killed);
    const pushed = push ?? own;
    verdict.cameOnce(pushed, own, `messages of PushConsumer in ${namespace}`, killed);
  }
});

interface RefusalsFacts {
  /** What became of each thing that has to be refused: a status code, or the words of the SDK. */
  answers: Record<string, string>;
  /** Good messages, some of them after all refusals. */
  sent: number;
  received: number;
}

/** What every SDK can be made to try. */
const REFUSED = ['empty body', 'body too large', 'unknown topic', 'wrong message type'];

const judgeRefusals = judged<RefusalsFacts>((facts, verdict) => {
  for (const one of REFUSED) verdict.check(one in facts.answers, `${one} was not tried`);
  for (const [what, answer] of Object.entries(facts.answers))
    verdict.check(!['', 'accepted', 'panic'].includes(answer), `${what}: ${answer}`);
  verdict.check(facts.sent >= 2, 'nothing was sent after the refusals');
  verdict.equal(facts.received, facts.sent, 'good messages received');
});

/** All features, in the order of the table. */
export const scenarios: readonly Scenario[] = [
  {
    id: 'normal',
    title: 'normal messages: body, tag, keys, properties, ids',
    topicType: 'NORMAL',
    groups: [{ suffix: '' }, { suffix: '-push' }],
    judge: judgeNormal,
  },
  {
    id: 'fifo',
    title: 'FIFO: order per message group, retry in place, dead letter, second consumer',
    topicType: 'FIFO',
    groups: [{ suffix: '', fifo: true, maxAttempts: MAX_ATTEMPTS }, { suffix: '-dead' }],
    judge: judgeFifo,
  },
  {
    id: 'delay',
    title: 'delayed messages: never early',
    topicType: 'DELAY',
    groups: [{ suffix: '' }],
    judge: judgeDelay,
  },
  {
    id: 'recall',
    title: 'recall of delayed messages',
    topicType: 'DELAY',
    groups: [{ suffix: '' }],
    judge: judgeRecall,
  },
  {
    id: 'transaction',
    title: 'transactions: commit and rollback',
    topicType: 'TRANSACTION',
    groups: [{ suffix: '' }],
    judge: judgeTransaction,
  },
  {
    id: 'orphan',
    title: 'transactions: check-back to another producer after the first was killed',
    topicType: 'TRANSACTION',
    groups: [{ suffix: '' }],
    judge: judgeOrphan,
  },
  {
    id: 'simple',
    title: 'SimpleConsumer: ack, extend, give back, expiry, stale handle',
    topicType: 'NORMAL',
    groups: [{ suffix: '' }],
    judge: judgeSimple,
  },
  {
    id: 'push',
    title: 'PushConsumer: retries, then the dead-letter queue, read by a consumer',
    topicType: 'NORMAL',
    groups: [{ suffix: '', maxAttempts: MAX_ATTEMPTS }, { suffix: '-dead' }],
    judge: judgePush,
  },
  {
    id: 'tags',
    title: 'tag filters',
    topicType: 'NORMAL',
    groups: [{ suffix: '-one' }, { suffix: '-alternative' }, { suffix: '-all' }],
    judge: judgeFilter,
  },
  {
    id: 'sql',
    title: 'SQL filters, also for retried messages',
    topicType: 'NORMAL',
    groups: ['both', 'either', 'missing', 'tag', 'negated', 'bad'].map((name) => ({
      suffix: `-${name}`,
    })),
    judge: judgeFilter,
  },
  {
    id: 'topics',
    title: 'several topics in one client',
    topicType: 'NORMAL',
    topics: ['A', 'B', 'C'],
    groups: [{ suffix: '' }, { suffix: '-push' }],
    judge: judgeTopics,
  },
  {
    id: 'namespaces',
    title: 'the same topic and group in two namespaces',
    topicType: 'NORMAL',
    namespaces: ['first', 'second'],
    groups: [{ suffix: '' }, { suffix: '-push' }],
    judge: judgeNamespaces,
  },
  {
    id: 'refusals',
    title: 'refusals: body, topic, message type, delay, receipt handle; the client goes on',
    topicType: 'DELAY',
    groups: [{ suffix: '' }],
    judge: judgeRefusals,
  },
];
