import { defaultsOf, isMqError, silentLogger } from '@raftmq/base';
import { ALL_MESSAGES, storedBody } from '@raftmq/protocol';
import { type PublishMessage, type ReceiveRequest } from '../messaging.js';
import { openBrokerState } from '../state/recovery.js';
import {
  ManualClock,
  MemoryQueueIndex,
  MemoryStateStore,
  settle,
  SingleNode,
  unexpectedFatal,
} from './single-node.js';
import { type BrokerStateMachine } from '../state/state-machine.js';
import { MessagingService } from '../messaging-service/messaging-service.js';
import {
  messagingServiceSettings,
  type MessagingServiceSettings,
} from '../messaging-service/settings.js';

/* Test fixture: a messaging service over one node that commits at once, in memory. Imported by tests only. */

const settings: MessagingServiceSettings = {
  ...defaultsOf(messagingServiceSettings),
  autoCreateGroup: true,
  groupMaxAttempts: 17,
  groupConsumeFrom: 'first',
  openMessagesMax: 1_000,
  pollersPerQueueMax: 8,
  pollersMax: 12,
  turnWaitMs: 1_000,
  renewClientsMax: 1_000,
};

/** A message as a test looks at it. */
export interface SeenMessage {
  readonly body: string;
  readonly handle: string;
  readonly attempt: number;
}

/** The service with short words for what tests do with it; topic `T` unless told otherwise. */
export class ServiceFixture {
  readonly clock: ManualClock;
  readonly node: SingleNode;
  readonly queueIndex: MemoryQueueIndex;
  readonly state: BrokerStateMachine;
  readonly service: MessagingService;
  /** What a majority says when it is asked whether this replica still leads. */
  confirmLeading: () => Promise<unknown> = () => Promise.resolve();

  private constructor(
    clock: ManualClock,
    node: SingleNode,
    queueIndex: MemoryQueueIndex,
    state: BrokerStateMachine,
    overrides: Partial<MessagingServiceSettings>,
  ) {
    this.clock = clock;
    this.node = node;
    this.queueIndex = queueIndex;
    this.state = state;
    this.service = new MessagingService({
      state,
      proposer: node,
      queueIndex,
      log: node.log,
      clock,
      logger: silentLogger,
      settings: { ...settings, ...overrides },
      brokerGroup: 'broker-a',
      confirmLeading: () => this.confirmLeading(),
      randomBytes: (sizeBytes) => Buffer.alloc(sizeBytes, 7),
    });
  }

  /** A service that leads. */
  static async start(overrides: Partial<MessagingServiceSettings> = {}): Promise<ServiceFixture> {
    const clock = new ManualClock();
    const node = new SingleNode(clock);
    const queueIndex = new MemoryQueueIndex();
    const state = await openBrokerState({
      stateStore: new MemoryStateStore(),
      queueIndex,
      log: node.log,
      logger: silentLogger,
      onFatal: unexpectedFatal,
    });
    node.machines.push(state);
    const fixture = new ServiceFixture(clock, node, queueIndex, state, overrides);
    state.roleChanged({ role: 'leader', term: 1, leaderId: 0, writable: true });
    await settle();
    return fixture;
  }

  async send(...bodies: readonly string[]): Promise<void> {
    await this.sendTagged(...bodies.map((body) => [body, null] as const));
  }

  async sendTagged(
    ...messages: readonly (readonly [body: string, tag: string | null])[]
  ): Promise<void> {
    for (const [body, tag] of messages) await this.publish(testMessage(body, { tag }));
  }

  async publish(message: PublishMessage, topic = 'T'): Promise<void> {
    await this.service.send(this.service.topic(topic)!, [message]);
  }

  async receive(fields: Partial<ReceiveRequest> = {}): Promise<readonly SeenMessage[]> {
    const messages = await this.service.receive({
      group: 'g',
      topic: 'T',
      queueId: null,
      batchSize: 16,
      invisibleMs: 10_000,
      autoRenew: false,
      clientId: 'client',
      pollingMs: 0,
      filter: ALL_MESSAGES,
      attemptId: null,
      signal: new AbortController().signal,
      ...fields,
    });
    return messages.map((message) => ({
      body: storedBody(message.record).toString(),
      handle: message.receiptHandle,
      attempt: message.deliveryAttempt,
    }));
  }

  async ack(group: string, ...handles: readonly string[]): Promise<readonly (string | null)[]> {
    const targets = handles.map((receiptHandle) => ({ messageId: 'x', receiptHandle }));
    const answers = await this.service.ack(group, 'T', targets);
    return answers.map((answer) => answer?.code ?? null);
  }
}

export function testMessage(body: string, fields: Partial<PublishMessage> = {}): PublishMessage {
  return {
    messageId: `id-${body}`,
    body: Buffer.from(body),
    tag: null,
    keys: [],
    userProperties: [],
    messageGroup: null,
    traceContext: null,
    bornTimestampMs: 1,
    bornHost: 'host',
    gzip: false,
    ...fields,
  };
}

/** The code that a promise rejects with, or OK. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return isMqError(error) ? error.code : String(error);
  }
  return 'OK';
}
