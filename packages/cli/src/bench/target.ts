import { isMqError } from '@raftmq/base';
import { AdminClient, type BrokerTarget, type Route } from '@raftmq/client';
import {
  ClientCore,
  defaultConsumerSettings,
  defaultProducerSettings,
} from '@raftmq/client/internal';
import { clientType, filterType } from '@raftmq/protocol';
import { type ParsedOptions } from '../command.js';
import { tlsOf } from '../connection.js';
import { type Output } from '../output.js';

const ROUTE_WAIT_MS = 10_000;
const ROUTE_POLL_MS = 100;
/** Under overload answers take long; they are latency, not failures. */
const REQUEST_TIMEOUT_MS = 10_000;
const QUEUES = 8;
const READ_AND_WRITE = 6;

/** A started client and the topic that it works on. */
export interface BenchTarget {
  readonly core: ClientCore;
  readonly topic: string;
  /** Brokers to send to or receive from, the current ones. */
  brokers(): readonly BrokerTarget[];
}

/**
 * Connects, and creates the topic when it is missing.
 * @param group consumer group; '' = this client sends
 * @throws MqError when nobody answers or the topic cannot be created
 */
export async function openTarget(
  options: ParsedOptions,
  output: Output,
  topic: string,
  group: string,
): Promise<BenchTarget> {
  const endsAt = performance.now() + ROUTE_WAIT_MS;
  for (let attempt = 1; ; attempt++) {
    const core = makeCore(options, topic, group);
    try {
      await core.start([topic]);
      const brokers = (): readonly BrokerTarget[] =>
        brokersOf(core.routes.peek(topic), group === '');
      return { core, topic, brokers };
    } catch (error) {
      const missing = isMqError(error) && error.code === 'TOPIC_NOT_FOUND';
      if (!missing || performance.now() > endsAt) throw error;
      if (attempt === 1) {
        output.note(`creating the topic ${topic}`);
        await createTopic(options, topic);
      }
    }
    await new Promise((resolve) => setTimeout(resolve, ROUTE_POLL_MS));
  }
}

function makeCore(options: ParsedOptions, topic: string, group: string): ClientCore {
  const sends = group === '';
  return new ClientCore(
    {
      endpoints: options.text('endpoints'),
      tls: tlsOf(options),
      requestTimeoutMs: REQUEST_TIMEOUT_MS,
    },
    {
      clientType: sends ? clientType.PRODUCER : clientType.SIMPLE_CONSUMER,
      group,
      topics: () => [topic],
      subscriptions: () => [{ topic, filterType: filterType.TAG, expression: '*' }],
      longPollingMs: 0,
    },
    sends ? defaultProducerSettings : defaultConsumerSettings,
  );
}

function brokersOf(route: Route | null, sends: boolean): readonly BrokerTarget[] {
  if (route === null) return [];
  return sends ? route.writable : route.readable;
}

async function createTopic(options: ParsedOptions, topic: string): Promise<void> {
  const admin = new AdminClient({ endpoints: options.text('endpoints'), tls: tlsOf(options) });
  try {
    await admin.putTopic(
      { name: topic, type: 'NORMAL', queues: QUEUES, permission: READ_AND_WRITE },
      false,
    );
  } finally {
    admin.close();
  }
}

/** Prints a line every second until stopped. */
export function everySecond(print: (elapsedMs: number, intervalMs: number) => void): () => void {
  const startMs = performance.now();
  let lastMs = startMs;
  const timer = setInterval(() => {
    const nowMs = performance.now();
    print(nowMs - startMs, nowMs - lastMs);
    lastMs = nowMs;
  }, 1_000);
  return () => clearInterval(timer);
}
