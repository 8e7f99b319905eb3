import { MqError } from '@raftmq/base';
import {
  decodeAckMessageRequest,
  decodeAckMessageResponse,
  encodeAckMessageRequest,
  encodeAckMessageResponse,
  OK_STATUS,
  statusOf,
  type AckEntry,
  type Status,
} from '@raftmq/protocol';
import { type RawMethod } from '@raftmq/rpc';
import { type EdgeCall } from './edge-call.js';
import { groupOfHandle, namesOwnGroup, requireTopic } from './consume-target.js';
import { unaryMethod } from './pipeline.js';
import { groupOf, topicOf, type EdgeServices } from './services.js';

/** AckMessage: the consumer is done with these messages. Each entry has an outcome of its own, in the order of the request. */
export function ackMessage(services: EdgeServices): RawMethod {
  return unaryMethod(services, 'AckMessage', async (call, bytes) => {
    const { topic, group, entries } = decodeAckMessageRequest(bytes);
    const topicName = topicOf(topic, call);
    const groupName = groupOf(group, call);
    if (entries.length === 0)
      throw new MqError('BAD_REQUEST', 'the request names no message to acknowledge');
    const atLeader = async (own: readonly AckEntry[]): Promise<Buffer> => {
      requireTopic(services, topicName);
      const outcomes = await services.messaging.ack(groupName, topicName, own);
      return encodeAckMessageResponse(
        own,
        outcomes.map((error) => (error === null ? OK_STATUS : statusOf(error, call.language))),
      );
    };
    const byBroker = await byGroup(services, entries, topicName);
    if (byBroker.size === 1) {
      const [brokerGroup] = byBroker.keys();
      return services.forwarder.unary(call, bytes, brokerGroup!, () => atLeader(entries));
    }
    // Handles of several broker groups in one call: each group gets its own, and the answers are put back in order.
    const outcomes = new Map<AckEntry, Status>();
    await Promise.all(
      [...byBroker].map(async ([brokerGroup, own]) => {
        const part = encodeAckMessageRequest({ topic, group, entries: own });
        const statuses = await ackPart(services, call, part, brokerGroup, own, () => atLeader(own));
        own.forEach((entry, i) => outcomes.set(entry, statuses[i]!));
      }),
    );
    return encodeAckMessageResponse(
      entries,
      entries.map((entry) => outcomes.get(entry)!),
    );
  });
}

async function byGroup(
  services: EdgeServices,
  entries: readonly AckEntry[],
  topic: string,
): Promise<Map<string, AckEntry[]>> {
  // Almost always: every handle names this group, which takes no waiting to find out.
  if (entries.every(({ receiptHandle }) => namesOwnGroup(services, receiptHandle)))
    return new Map([[services.ownGroup, [...entries]]]);
  const groups = new Map<string, AckEntry[]>();
  for (const entry of entries) {
    const group = await groupOfHandle(services, entry.receiptHandle, topic);
    const list = groups.get(group);
    if (list === undefined) groups.set(group, [entry]);
    else list.push(entry);
  }
  return groups;
}

async function ackPart(
  services: EdgeServices,
  call: EdgeCall,
  part: Buffer,
  brokerGroup: string,
  entries: readonly AckEntry[],
  atLeader: () => Promise<Buffer>,
): Promise<readonly Status[]> {
  let overall: Status;
  try {
    const answer = decodeAckMessageResponse(
      await services.forwarder.unary(call, part, brokerGroup, atLeader),
    );
    if (answer.entries.length === entries.length)
      return answer.entries.map((entry) => entry.status);
    overall = answer.status;
  } catch (error) {
    overall = statusOf(error, call.language);
  }
  return entries.map(() => overall);
}
