import { errorText, isMqError } from '@raftmq/base';
import { Producer, SimpleConsumer } from '@raftmq/client';
import { type Command, type CommandContext, type OptionTable } from '../command.js';
import { CLIENT_OPTIONS, tlsOf } from '../connection.js';

const OPTIONS: OptionTable = {
  ...CLIENT_OPTIONS,
  topic: { value: 'NAME', doc: 'topic', default: 'TopicTest' },
  count: { value: 'N', doc: 'messages', default: '1000' },
};

const CONSUMER_OPTIONS: OptionTable = {
  ...OPTIONS,
  group: { value: 'NAME', doc: 'consumer group', default: 'quickstart' },
  timeout: { value: 'TIME', doc: 'give up after so long', default: '60s' },
};

const SENDS_UNDER_WAY = 64;
const INVISIBLE_MS = 30_000;
const AWAIT_MS = 1_000;
const POLLS = 4;
const RECEIVE_BATCH = 32;
/** A new topic takes a moment until all brokers know it. */
const START_ATTEMPTS = 20;
const START_PAUSE_MS = 250;

/** `raftmq quickstart producer`. */
export const quickstartProducerCommand: Command = {
  name: 'quickstart producer',
  summary: 'Sends messages to a topic, and counts.',
  positionals: [],
  options: OPTIONS,
  run: async (context) => {
    const started = performance.now();
    const sent = await produce(context);
    context.output.data(`sent ${sent} messages in ${elapsed(started)}`);
    return sent === countOf(context) ? 0 : 1;
  },
};

/** `raftmq quickstart consumer`. */
export const quickstartConsumerCommand: Command = {
  name: 'quickstart consumer',
  summary: 'Receives and acknowledges messages of a topic, until it has counted enough.',
  positionals: [],
  options: CONSUMER_OPTIONS,
  run: async (context) => {
    const started = performance.now();
    const received = await consume(context);
    context.output.data(`received and acknowledged ${received} messages in ${elapsed(started)}`);
    return received >= countOf(context) ? 0 : 1;
  },
};

/** `raftmq quickstart`: both, one after the other. */
export const quickstartCommand: Command = {
  name: 'quickstart',
  summary: 'Sends messages and receives them again.',
  positionals: [],
  options: CONSUMER_OPTIONS,
  run: async (context) => {
    const { output } = context;
    const count = countOf(context);
    const started = performance.now();
    const sent = await produce(context);
    output.data(`sent      ${sent} messages in ${elapsed(started)}`);
    const receiving = performance.now();
    const received = await consume(context);
    output.data(`received  ${received} messages in ${elapsed(receiving)}`);
    return sent === count && received >= count ? 0 : 1;
  },
};

const countOf = (context: CommandContext): number => context.options.integer('count', 1, 1e9);
const elapsed = (since: number): string => `${((performance.now() - since) / 1000).toFixed(2)} s`;

async function produce({ options, output, signal }: CommandContext): Promise<number> {
  const topic = options.text('topic');
  const count = options.integer('count', 1, 1e9);
  const producer = await startPatiently(
    () =>
      new Producer({ endpoints: options.text('endpoints'), tls: tlsOf(options), topics: [topic] }),
    (client) => client.start(),
  );
  let next = 0;
  let sent = 0;
  let failures = 0;
  const work = async (): Promise<void> => {
    while (next < count && !signal.aborted && failures === 0) {
      const number = next++;
      try {
        await producer.send({
          topic,
          body: `Hello RaftMQ ${number}`,
          tag: 'TagA',
          keys: [`key-${number}`],
        });
        sent++;
      } catch (error) {
        failures++;
        output.note(`message ${number} was not sent: ${errorText(error)}`);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(count, SENDS_UNDER_WAY) }, work));
  await producer.close();
  return sent;
}

async function consume({ options, output, signal }: CommandContext): Promise<number> {
  const topic = options.text('topic');
  const count = options.integer('count', 1, 1e9);
  const endsAt = performance.now() + options.durationMs('timeout', 1_000, 86_400_000);
  const consumer = await startPatiently(
    () =>
      new SimpleConsumer({
        endpoints: options.text('endpoints'),
        tls: tlsOf(options),
        group: options.text('group'),
        subscriptions: { [topic]: '*' },
        awaitMs: AWAIT_MS,
      }),
    (client) => client.start(),
  );
  let acknowledged = 0;
  const work = async (): Promise<void> => {
    while (acknowledged < count && performance.now() < endsAt && !signal.aborted) {
      try {
        const messages = await consumer.receive(
          Math.min(RECEIVE_BATCH, count - acknowledged),
          INVISIBLE_MS,
        );
        const outcomes = await consumer.ackAll(messages);
        acknowledged += outcomes.filter((outcome) => outcome === null).length;
      } catch (error) {
        // The last poll may end with the consumer.
        if (acknowledged < count) output.note(`receive failed: ${errorText(error)}`);
      }
    }
    await consumer.close();
  };
  await Promise.all(Array.from({ length: Math.min(POLLS, count) }, work));
  return acknowledged;
}

/** Starts a client; one that does not find its topic yet is made anew for a while. */
async function startPatiently<T>(make: () => T, start: (client: T) => Promise<void>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const client = make();
    try {
      await start(client);
      return client;
    } catch (error) {
      const soon =
        isMqError(error) && (error.code === 'TOPIC_NOT_FOUND' || error.code === 'HA_NOT_AVAILABLE');
      if (!soon || attempt >= START_ATTEMPTS) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, START_PAUSE_MS));
  }
}
