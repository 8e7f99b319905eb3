import { MqError } from '@raftmq/base';
import {
  consumeLimits,
  decodePullMessageRequest,
  encodePullMessagePart,
  encodePullNextOffset,
  encodeStatusResponse,
  encodeTopicResource,
  OK_STATUS,
  parseMessageFilter,
  statusCode,
  statusOf,
  storedBodySizeBytes,
  type MessageFilter,
  type PullMessageRequest,
  type ClientLanguage,
  type Status,
} from '@raftmq/protocol';
import { type RawMethod, type StreamWriter } from '@raftmq/rpc';
import { type PullResult } from '../messaging.js';
import { requireTopic } from './consume-target.js';
import { type EdgeCall } from './edge-call.js';
import { groupOfQueue } from './offset-target.js';
import { streamMethod } from './pipeline.js';
import { groupOf, topicOf, type EdgeServices } from './services.js';

const NO_MESSAGE: Status = { code: statusCode.MESSAGE_NOT_FOUND, message: 'no new message' };

interface CheckedPull {
  readonly topic: string;
  readonly group: string;
  readonly filter: MessageFilter;
  readonly batchSize: number;
  /** As the client asked, within the limit. */
  readonly pollingMs: number;
}

/**
 * PullMessage: reads one queue from an offset on, and leases nothing. The answer is a status, a part per message, and the
 * offset to go on at, which every answer of the leader has: an empty one may have passed over messages that the filter
 * refuses, and an offset outside of the queue is answered with the nearest one inside.
 */
export function pullMessage(services: EdgeServices): RawMethod {
  return streamMethod(
    services,
    'PullMessage',
    async (call, bytes, writer) => {
      const request = decodePullMessageRequest(bytes);
      const checked = checkPull(request, call);
      const group = await groupOfQueue(services, request.brokerName, checked.topic);
      let code: number = statusCode.OK;
      try {
        await services.forwarder.stream(call, bytes, group, writer, async () => {
          code = await pullHere(services, call, request, checked, writer);
        });
      } catch (error) {
        if (!services.draining()) throw error;
        // An empty answer is asked for again at once, over a new connection: this process is going away.
        writer.write(encodeStatusResponse(NO_MESSAGE));
        writer.write(encodePullNextOffset(request.offset));
        code = NO_MESSAGE.code;
      }
      return code;
    },
    (writer, status) => void writer.write(encodeStatusResponse(status)),
  );
}

function checkPull(request: PullMessageRequest, call: EdgeCall): CheckedPull {
  return {
    topic: topicOf(request.topic, call),
    group: groupOf(request.group, call),
    filter: parseMessageFilter(request.filterType, request.filterExpression),
    batchSize: Math.min(
      request.batchSize > 0 ? request.batchSize : consumeLimits.batchSizeMax,
      consumeLimits.pullBatchSizeMax,
    ),
    pollingMs: Math.min(Math.max(0, request.longPollingMs ?? 0), consumeLimits.longPollingMsMax),
  };
}

async function pullHere(
  services: EdgeServices,
  call: EdgeCall,
  request: PullMessageRequest,
  checked: CheckedPull,
  writer: StreamWriter<Buffer>,
): Promise<number> {
  const { messaging, clock, probe } = services;
  requireTopic(services, checked.topic);
  const leftMs = call.deadlineMs - clock.wallMs() - consumeLimits.deadlineMarginMs;
  const result = await messaging.pull({
    group: checked.group,
    topic: checked.topic,
    queueId: request.queueId,
    offset: request.offset,
    batchSize: checked.batchSize,
    pollingMs: Math.max(0, Math.min(checked.pollingMs, leftMs)),
    filter: checked.filter,
    signal: call.context.signal,
  });
  const status = statusOfPull(request, result, call.language);
  writer.write(encodeStatusResponse(status));
  const resource = encodeTopicResource(request.topic);
  let sizeBytes = 0;
  for (const record of result.records) {
    if (writer.closed) return status.code;
    sizeBytes += storedBodySizeBytes(record);
    // One frame per message: clients of several languages refuse frames above 4 MiB, which a body alone may reach.
    if (!writer.write(encodePullMessagePart(record, resource))) await writer.drained();
  }
  writer.write(encodePullNextOffset(result.nextOffset));
  if (result.records.length > 0) probe.received(checked.topic, result.records.length, sizeBytes);
  return status.code;
}

function statusOfPull(
  request: PullMessageRequest,
  result: PullResult,
  language: ClientLanguage,
): Status {
  const { queueId, offset } = request;
  if (result.misplaced === 'before') {
    return statusOf(
      new MqError(
        'OFFSET_NOT_FOUND',
        `offset ${offset} of queue ${queueId} is not kept any more; go on at ${result.nextOffset}`,
      ),
      language,
    );
  }
  if (result.misplaced === 'behind') {
    return statusOf(
      new MqError(
        'ILLEGAL_OFFSET',
        `queue ${queueId} has no offset ${offset}; the nearest one is ${result.nextOffset}`,
      ),
      language,
    );
  }
  return result.records.length === 0 ? NO_MESSAGE : OK_STATUS;
}
