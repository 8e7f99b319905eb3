import { defaultsOf, type Prng } from '@raftmq/base';
import {
  messagingServiceSettings,
  stateSettings,
  type GroupConfig,
  type TopicConfig,
} from '@raftmq/broker/internal';
import { parseMessageFilter, tagFilter, type MessageFilter } from '@raftmq/protocol';
import { drawScenario, type Scenario } from '../scenario.js';
import { type BrokerSetup } from './broker-application.js';

/** A consumer group of the simulation, and how its consumers behave. */
export interface SimGroup {
  readonly config: GroupConfig;
  readonly topic: string;
  /** null = every message. */
  readonly tags: readonly string[] | null;
  /** Lets these tags through, said in SQL now and then. */
  readonly filter: MessageFilter;
  readonly consumers: number;
}

/** Everything one seed decides about a broker group and its clients. */
export interface BrokerScenario {
  readonly cluster: Scenario;
  /** The smallest election timeout: what times are measured in. */
  readonly unitMs: number;
  readonly setup: BrokerSetup;
  readonly topics: readonly TopicConfig[];
  readonly groups: readonly SimGroup[];
  readonly producers: number;
  readonly messagesPerSendMax: number;
  readonly bodyBytesMax: number;
  readonly tagNames: readonly string[];
  /** Share of answers that never reach their client. */
  readonly answerLoss: number;
  readonly clientLatencyMs: number;
  readonly clientTimeoutMs: number;
  readonly resendMax: number;
  /** How far ahead delivery times lie at most. */
  readonly delayMaxMs: number;
  readonly recallChance: number;
  /** Share of transactions that their producer forgets, so that it is asked about them. */
  readonly orphanChance: number;
  /** Share of decisions after which the contrary one is tried. */
  readonly contraryChance: number;
  /** Mean pause between two resets of a group's offsets; Infinity = never. */
  readonly resetEveryMs: number;
  /** Mean pause between two deletions of a topic, which is made anew at once; Infinity = never. */
  readonly topicAnewEveryMs: number;
  /** Mean pause between two changes of a group: paused or not, attempts, waits; Infinity = never. */
  readonly groupChangeEveryMs: number;
  /** Share of receive calls whose leases are renewed while their client lives. */
  readonly autoRenewChance: number;
  /** Names below the topic of type LITE. */
  readonly liteNames: readonly string[];
  /** How often a consumer skips, or asks for the offset of its group. */
  readonly offsetChance: number;
  readonly receiveBatchMax: number;
  readonly invisibleMaxMs: number;
  readonly pollingMaxMs: number;
  /** What a consumer does with a message that it does not acknowledge at once, as shares. */
  readonly nackChance: number;
  readonly forgetChance: number;
  readonly deadLetterChance: number;
  readonly extendChance: number;
  readonly consumerThinkMs: number;
  /** Share of consumers that work like the push consumers of SDKs. */
  readonly pushShare: number;
  /** Every so many entries the whole state is summed up on every node. */
  readonly digestEvery: number;
}

const READ_WRITE = 6;
const HOUR_MS = 3_600_000;

/** Draws a broker group, its clients and its troubles. */
export function drawBrokerScenario(seed: number, random: Prng): BrokerScenario {
  const base = drawScenario(seed, random.fork('cluster'));
  const unitMs = base.core.electionTimeoutMinMs!;
  const topics: TopicConfig[] = [
    {
      name: 'normal',
      type: random.pick(['NORMAL', 'NORMAL', 'PRIORITY']),
      queues: random.integer(1, 4),
      permission: READ_WRITE,
    },
    { name: 'fifo', type: 'FIFO', queues: random.integer(1, 3), permission: READ_WRITE },
    { name: 'tx', type: 'TRANSACTION', queues: random.integer(1, 2), permission: READ_WRITE },
    { name: 'delay', type: 'DELAY', queues: random.integer(1, 2), permission: READ_WRITE },
  ];
  const withLite = random.chance(0.3);
  if (withLite)
    topics.push({
      name: 'lite',
      type: 'LITE',
      queues: random.integer(1, 2),
      permission: READ_WRITE,
    });
  const maxAttempts = random.pick([2, 4, 16]);
  const group = (name: string, topic: string, fifo: boolean, tags: string[] | null): SimGroup => ({
    config: { name, fifo, maxAttempts },
    topic,
    tags,
    filter: random.chance(0.5) ? tagFilter(tags) : sqlFilter(tags),
    consumers: random.integer(1, 3),
  });
  return {
    cluster: clusterOf(base, unitMs, random),
    unitMs,
    setup: {
      messaging: {
        ...defaultsOf(messagingServiceSettings),
        autoCreateGroup: false,
        groupMaxAttempts: maxAttempts,
        openMessagesMax: random.pick([32, 1000]),
        pollersPerQueueMax: 64,
        pollersMax: 256,
        turnWaitMs: Math.round(unitMs),
        renewClientsMax: 100,
        transactionCheckFirstMs: Math.round(unitMs * random.pick([0.5, 5])),
        transactionCheckIntervalMs: Math.round(unitMs * random.pick([1, 5])),
        transactionCheckMax: random.pick([1, 3, 15]),
        transactionOutcomeMs: 86_400_000,
      },
      state: {
        ...defaultsOf(stateSettings),
        checkpointIntervalMs: Math.round(unitMs * random.pick([0.5, 2, 10])),
        checkpointLogBytes: random.pick([8192, 1_048_576]),
        checkpointRowsMax: random.pick([16, 16_384]),
        // Clocks jump, and a message that is sent again is to be known all the same.
        sendDedupWindowMs: 24 * 3_600_000,
        stateFlushIntervalMs: Math.round(unitMs * random.pick([1, 5, 1000])),
      },
      timers: { timersLoadedMax: random.pick([2, 64, 20_000]) },
      queueFileEntries: random.pick([4, 16, 1000]),
      openQueueFilesMax: random.pick([2, 128]),
    },
    topics,
    groups: [
      group('everyone', 'normal', false, null),
      group('picky', 'normal', false, ['a']),
      group('ordered', 'fifo', true, null),
      group('settled', 'tx', false, null),
      group('delayed', 'delay', false, null),
      ...(random.chance(0.5) ? [group('ordered-picky', 'fifo', true, ['a', 'b'])] : []),
      ...(withLite ? [group('lite', 'lite', random.chance(0.5), null)] : []),
    ],
    producers: random.integer(1, 3),
    messagesPerSendMax: random.pick([1, 3, 8]),
    bodyBytesMax: random.pick([10, 300]),
    tagNames: ['a', 'b', 'c'],
    answerLoss: random.pick([0, 0.05, 0.3]),
    clientLatencyMs: unitMs * random.pick([0.001, 0.01, 0.05]),
    clientTimeoutMs: unitMs * random.pick([1, 3, 10]),
    delayMaxMs: unitMs * random.pick([0.5, 5, 30]),
    recallChance: random.pick([0, 0.1, 0.3]),
    orphanChance: random.pick([0, 0.2, 0.8]),
    contraryChance: random.pick([0, 0.2]),
    resetEveryMs: random.chance(0.4) ? unitMs * random.pick([3, 10]) : Infinity,
    topicAnewEveryMs: random.chance(0.3) ? unitMs * random.pick([3, 10]) : Infinity,
    groupChangeEveryMs: random.chance(0.3) ? unitMs * random.pick([2, 5]) : Infinity,
    autoRenewChance: random.pick([0, 0, 0.2, 0.7]),
    liteNames: Array.from({ length: random.integer(1, 8) }, (_, i) => `l${i}`),
    offsetChance: random.pick([0, 0.05]),
    resendMax: random.pick([0, 2, 5]),
    receiveBatchMax: random.pick([1, 4, 16]),
    invisibleMaxMs: unitMs * random.pick([0.5, 2, 8]),
    pollingMaxMs: unitMs * random.pick([0, 2, 6]),
    nackChance: random.pick([0, 0.1, 0.4]),
    forgetChance: random.pick([0, 0.05, 0.2]),
    deadLetterChance: random.pick([0, 0.05]),
    extendChance: random.pick([0, 0.1]),
    consumerThinkMs: unitMs * random.pick([0, 0.05, 0.3]),
    pushShare: random.fork('push').pick([0, 0.5, 1]),
    digestEvery: random.pick([1, 7, 50]),
  };
}

const SQL_FILTER_TYPE = 2;

function sqlFilter(tags: readonly string[] | null): MessageFilter {
  const list = tags?.map((tag) => `'${tag}'`).join(', ');
  const expression = list === undefined ? 'TRUE' : `TAGS IN (${list})`;
  return parseMessageFilter(SQL_FILTER_TYPE, expression);
}

/** A message with its properties takes more room than a value, and clients wait for each other. */
function clusterOf(base: Scenario, unitMs: number, random: Prng): Scenario {
  return {
    ...base,
    // Clients of a group that lost acknowledged messages could be promised nothing.
    forgetful: 'minority',
    core: {
      ...base.core,
      maxUncommittedBytes: Math.max(65_536, base.core.maxUncommittedBytes!),
    },
    driver: {
      ...base.driver,
      batchBytesMax: random.pick([2048, 16_384, 65_536]),
      proposalQueueMax: random.pick([8, 1000]),
      proposalQueueBytesMax: random.pick([16_384, 1_048_576]),
      uncommittedBytesMax: random.pick([65_536, 1_048_576]),
    },
    segmentSizeBytes: random.pick([16_384, 65_536, 262_144]),
    cacheBytes: random.pick([2048, 65_536, 1_048_576]),
    safetyMs: unitMs * random.pick([10, 20, 30]),
    livenessMs: base.livenessMs + unitMs * 60,
    thinkMs: unitMs * random.pick([0.1, 0.3, 1]),
    compactEveryMs: random.chance(0.3) ? unitMs * 4 : Infinity,
    // Leases run by the leader's wall clock: where clocks are far apart, a new leader first waits for its own to catch up.
    wallSkewMaxMs: unitMs * random.pick([0, 0.5]),
    wallJumpsMs: random.chance(0.7)
      ? [-unitMs, unitMs, unitMs * 3]
      : [-HOUR_MS, -unitMs, unitMs, HOUR_MS],
  };
}
