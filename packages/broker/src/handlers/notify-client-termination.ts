import { errorText, MqError } from '@raftmq/base';
import {
  decodeNotifyClientTerminationRequest,
  encodeStatusResponse,
  OK_STATUS,
} from '@raftmq/protocol';
import { type RawMethod } from '@raftmq/rpc';
import { FORWARD_HOPS_MAX } from './edge-call.js';
import { unaryMethod } from './pipeline.js';
import { groupOf, type EdgeServices } from './services.js';

/** NotifyClientTermination: the client says goodbye; what was renewed for it becomes visible a second later. */
export function notifyClientTermination(services: EdgeServices): RawMethod {
  return unaryMethod(services, 'NotifyClientTermination', async (call, request) => {
    const group = decodeNotifyClientTerminationRequest(request);
    const told = group === null ? null : groupOf(group, call);
    const known = services.registry.terminate(call.clientId);
    const groupName = told ?? known?.group ?? null;
    if (groupName !== null) services.subscriptions.gone(call.clientId, groupName);
    const atLeader = async (): Promise<Buffer> => {
      services.messaging.clientGone(call.clientId, groupName);
      return encodeStatusResponse(OK_STATUS);
    };
    if (services.messaging.role.writable) await atLeader();
    else if (call.hops < FORWARD_HOPS_MAX) {
      // A leader that cannot be told now finds out when the client stays silent.
      await services.forwarder
        .unary(call, request, services.ownGroup, atLeader)
        .catch((error: unknown) => {
          services.logger.debug(
            { error: errorText(error) },
            'the goodbye of a client did not reach the leader',
          );
        });
    }
    if (known === null && groupName === null) {
      throw new MqError('UNRECOGNIZED_CLIENT_TYPE', 'this client is not known here');
    }
    return encodeStatusResponse(OK_STATUS);
  });
}
