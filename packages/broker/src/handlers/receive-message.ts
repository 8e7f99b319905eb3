import { errorText, isMqError, MqError } from '@raftmq/base';
import {
  consumeLimits,
  decodeReceiveMessageRequest,
  encodeReceiveDeliveryTimestamp,
  encodeReceiveMessagePart,
  encodeStatusResponse,
  encodeTopicResource,
  OK_STATUS,
  parseMessageFilter,
  statusCode,
  storedBodySizeBytes,
  storedMessageId,
  topicNotFound,
  type BodyDigestName,
  type MessageFilter,
  type ReceiveMessageRequest,
  type Status,
} from '@raftmq/protocol';
import { type RawMethod, type StreamWriter } from '@raftmq/rpc';
import { type DeliveredMessage } from '../messaging.js';
import { type EdgeCall } from './edge-call.js';
import { groupWithTopic, notAllowed } from './find-topic.js';
import { streamMethod } from './pipeline.js';
import { groupOfBrokerName, READABLE } from './route-entries.js';
import { groupOf, topicOf, type EdgeServices } from './services.js';

const NO_MESSAGE: Status = { code: statusCode.MESSAGE_NOT_FOUND, message: 'no new message' };

/** A request with everything checked and defaults filled in. */
interface CheckedReceive {
  readonly topic: string;
  readonly group: string;
  readonly filter: MessageFilter;
  readonly batchSize: number;
  readonly invisibleMs: number;
  readonly autoRenew: boolean;
  /** As the client asked, within the limit; what is left of its deadline is looked at when the poll starts. */
  readonly pollingMs: number;
  readonly attemptId: string | null;
}

/**
 * ReceiveMessage: hands out messages, waiting for them as long as the client likes and its deadline allows. The answer is
 * a status, a part per message, and the time of sending; nothing is sent before the outcome is known.
 *
 * The queue id of the request is ignored, as RocketMQ does: clients know several ideas of what it means. A poll takes from
 * all queues of the topic in the group that the broker name stands for.
 */
export function receiveMessage(services: EdgeServices): RawMethod {
  return streamMethod(
    services,
    'ReceiveMessage',
    async (call, bytes, writer) => {
      const request = decodeReceiveMessageRequest(bytes);
      const checked = checkReceive(request, call);
      const group = await targetGroup(services, request, checked.topic);
      let code: number = statusCode.OK;
      try {
        await services.forwarder.stream(call, bytes, group, writer, async () => {
          code = await deliver(services, call, request, checked, writer);
        });
      } catch (error) {
        // Where it is not known what the call was given, "nothing" would hide that.
        if (!services.draining() || !isMqError(error) || error.code !== 'HA_NOT_AVAILABLE')
          throw error;
        // An empty answer is polled again at once, over a new connection: this process is going away.
        writeFailure(writer, NO_MESSAGE, services.clock.wallMs());
        code = NO_MESSAGE.code;
      }
      return code;
    },
    writeFailure,
  );
}

/** What a failed receive looks like: a status, and the time of sending. */
function writeFailure(writer: StreamWriter<Buffer>, status: Status, nowMs: number): void {
  writer.write(encodeStatusResponse(status));
  writer.write(encodeReceiveDeliveryTimestamp(nowMs));
}

function checkReceive(request: ReceiveMessageRequest, call: EdgeCall): CheckedReceive {
  const topic = topicOf(request.topic, call);
  const group = groupOf(request.group, call);
  const invisibleMs = request.autoRenew ? consumeLimits.autoRenewInvisibleMs : request.invisibleMs;
  if (
    invisibleMs === null ||
    !(
      invisibleMs >= consumeLimits.receiveInvisibleMsMin &&
      invisibleMs <= consumeLimits.invisibleMsMax
    )
  ) {
    throw new MqError(
      'ILLEGAL_INVISIBLE_TIME',
      `the invisible duration is ${invisibleMs ?? 'missing'}${invisibleMs === null ? '' : ' ms'}; it must be from ${consumeLimits.receiveInvisibleMsMin} to ${consumeLimits.invisibleMsMax} ms`,
    );
  }
  const polling = request.longPollingMs ?? consumeLimits.longPollingMsMax;
  return {
    topic,
    group,
    filter: parseMessageFilter(request.filterType, request.filterExpression),
    batchSize: Math.min(Math.max(1, request.batchSize), consumeLimits.batchSizeMax),
    invisibleMs,
    autoRenew: request.autoRenew,
    pollingMs: Math.min(Math.max(0, polling), consumeLimits.longPollingMsMax),
    attemptId: request.attemptId,
  };
}

/** The group that the broker name of the queue stands for; an unknown name falls back to any group with the topic. */
async function targetGroup(
  services: EdgeServices,
  request: ReceiveMessageRequest,
  topic: string,
): Promise<string> {
  const named = groupOfBrokerName(request.brokerName);
  if (named === services.ownGroup && services.messaging.topic(topic) !== null) return named;
  const groups = await services.directory.groupsOf(topic);
  const found = groups.find((group) => group.group === named);
  if (found !== undefined) return named;
  return groupWithTopic(services, topic, (group) => (group.topic.permission & READABLE) !== 0);
}

async function deliver(
  services: EdgeServices,
  call: EdgeCall,
  request: ReceiveMessageRequest,
  checked: CheckedReceive,
  writer: StreamWriter<Buffer>,
): Promise<number> {
  const { messaging, clock, probe } = services;
  const topic = messaging.topic(checked.topic);
  if (topic === null) throw topicNotFound(checked.topic);
  if ((topic.permission & READABLE) === 0) throw notAllowed(checked.topic, 'readable');
  services.subscriptions.used(call.clientId, checked.group, topic.name, checked.filter.key);
  const messages = await messaging.receive({
    group: checked.group,
    topic: checked.topic,
    queueId: null,
    batchSize: checked.batchSize,
    invisibleMs: checked.invisibleMs,
    autoRenew: checked.autoRenew,
    clientId: call.clientId,
    // A poll that outlives its call would lose what it is given: several SDKs set the deadline to the polling time itself.
    pollingMs: Math.max(
      0,
      Math.min(
        checked.pollingMs,
        call.deadlineMs - clock.wallMs() - consumeLimits.deadlineMarginMs,
      ),
    ),
    filter: checked.filter,
    attemptId: checked.attemptId,
    signal: call.context.signal,
  });
  if (messages.length === 0) {
    writeFailure(writer, NO_MESSAGE, clock.wallMs());
    return NO_MESSAGE.code;
  }
  const written = await writeMessages(
    messages,
    encodeTopicResource(request.topic),
    call.language === 'RAFTMQ' ? 'CRC32' : 'MD5',
    writer,
    clock.wallMs(),
  );
  let sizeBytes = 0;
  for (let i = 0; i < written; i++) sizeBytes += storedBodySizeBytes(messages[i]!.record);
  probe.received(checked.topic, written, sizeBytes);
  if (written < messages.length) {
    probe.receiveAborted++;
    giveBack(services, checked, messages.slice(written));
  }
  return statusCode.OK;
}

/** @returns how many messages were handed to a connection that was still open */
async function writeMessages(
  messages: readonly DeliveredMessage[],
  topic: Buffer,
  digest: BodyDigestName,
  writer: StreamWriter<Buffer>,
  nowMs: number,
): Promise<number> {
  writer.write(encodeStatusResponse(OK_STATUS));
  for (let i = 0; i < messages.length; i++) {
    if (writer.closed) return i;
    // One frame per message: clients of several languages refuse frames above 4 MiB, which a body alone may reach.
    if (!writer.write(encodeReceiveMessagePart(messages[i]!, topic, digest)))
      await writer.drained();
  }
  writer.write(encodeReceiveDeliveryTimestamp(nowMs));
  return messages.length;
}

/** The client is gone: what it did not get goes to someone else now, and does not count as an attempt. */
function giveBack(
  services: EdgeServices,
  checked: CheckedReceive,
  messages: readonly DeliveredMessage[],
): void {
  for (const { record, receiptHandle } of messages) {
    services.messaging
      .changeInvisible(
        checked.group,
        checked.topic,
        { messageId: storedMessageId(record) ?? '', receiptHandle },
        0,
        true,
      )
      .catch((error: unknown) => {
        services.logger.debug(
          { error: errorText(error) },
          'a message could not be given back; it becomes visible in time',
        );
      });
  }
}
