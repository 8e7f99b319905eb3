import { type RawMethod } from '@raftmq/rpc';
import { repeatSettings, telemetry } from '../telemetry/telemetry.js';
import { ackMessage } from './ack-message.js';
import { changeInvisibleDuration } from './change-invisible-duration.js';
import { endTransaction } from './end-transaction.js';
import { forwardMessageToDeadLetterQueue } from './forward-to-dead-letter-queue.js';
import { heartbeat } from './heartbeat.js';
import { notifyClientTermination } from './notify-client-termination.js';
import { getOffset, queryOffset, updateOffset } from './offset-calls.js';
import { pullMessage } from './pull-message.js';
import { queryAssignment } from './query-assignment.js';
import { queryRoute } from './query-route.js';
import { recallMessage } from './recall-message.js';
import { receiveMessage } from './receive-message.js';
import { sendMessage } from './send-message.js';
import { type EdgeServices } from './services.js';
import { syncLiteSubscription } from './sync-lite-subscription.js';

/** The methods of `apache.rocketmq.v2.MessagingService` that this version offers; gRPC answers UNIMPLEMENTED for others. */
export function messagingServiceMethods(services: EdgeServices): readonly RawMethod[] {
  return [
    queryRoute(services),
    queryAssignment(services),
    heartbeat(services, (clientId) => repeatSettings(services, clientId)),
    telemetry(services),
    notifyClientTermination(services),
    sendMessage(services),
    receiveMessage(services),
    ackMessage(services),
    changeInvisibleDuration(services),
    forwardMessageToDeadLetterQueue(services),
    syncLiteSubscription(services),
    recallMessage(services),
    endTransaction(services),
    pullMessage(services),
    updateOffset(services),
    getOffset(services),
    queryOffset(services),
  ];
}
