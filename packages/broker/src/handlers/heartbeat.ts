import { errorText, MqError } from '@raftmq/base';
import {
  clientType,
  decodeHeartbeatRequest,
  encodeStatusResponse,
  OK_STATUS,
} from '@raftmq/protocol';
import { type RawMethod } from '@raftmq/rpc';
import { FORWARD_HOPS_MAX, type EdgeCall } from './edge-call.js';
import { unaryMethod } from './pipeline.js';
import { groupOf, type EdgeServices } from './services.js';

/**
 * Heartbeat: the client lives. The replica that it talks to remembers it, and tells the leader, which keeps auto-renewed
 * leases alive for as long. A client whose Settings were lost, with a restart of this process for instance, is known
 * again by its heartbeat alone: several SDKs never send them a second time.
 * @param pushSettings sends the client its Settings again where that helps it
 */
export function heartbeat(
  services: EdgeServices,
  pushSettings: (clientId: string) => void,
): RawMethod {
  return unaryMethod(services, 'Heartbeat', async (call, request) => {
    const { group, clientType: told } = decodeHeartbeatRequest(request);
    const type = typeOf(told, services.registry.describe(call.clientId)?.clientType ?? 0);
    const consumer = type !== clientType.PRODUCER;
    const groupName = consumer && group !== null ? groupOf(group, call) : null;
    services.registry.seen(call.clientId, {
      clientType: type,
      ...(groupName === null ? {} : { group: groupName }),
    });
    if (consumer) tellLeader(services, call, request);
    pushSettings(call.clientId);
    return encodeStatusResponse(OK_STATUS);
  });
}

function typeOf(told: number, known: number): number {
  const type = told === clientType.UNSPECIFIED ? known : told;
  if (type >= clientType.PRODUCER && type <= clientType.LITE_SIMPLE_CONSUMER) return type;
  throw new MqError(
    'UNRECOGNIZED_CLIENT_TYPE',
    'the heartbeat names no client type and this client has not sent Settings; open the Telemetry stream again',
  );
}

function tellLeader(services: EdgeServices, call: EdgeCall, request: Buffer): void {
  if (services.messaging.role.writable) {
    services.messaging.clientSeen(call.clientId);
    return;
  }
  if (call.hops >= FORWARD_HOPS_MAX) return;
  // The client has its answer already: a heartbeat that does not reach the leader is followed by the next one.
  services.forwarder
    .unary(call, request, services.ownGroup, async () => {
      services.messaging.clientSeen(call.clientId);
      return encodeStatusResponse(OK_STATUS);
    })
    .catch((error: unknown) => {
      services.logger.debug({ error: errorText(error) }, 'heartbeat did not reach the leader');
    });
}
