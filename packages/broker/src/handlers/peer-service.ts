import { type ProtoHandlers } from '@raftmq/rpc';
import { PRODUCERS_MAX } from '../forward/producer-finder.js';
import { type ClientRegistry } from '../telemetry/client-registry.js';

/** The methods of `raftmq.peer.v1.Peer`: what other replicas of the group ask about clients that are connected here. */
export function peerHandlers(registry: ClientRegistry): ProtoHandlers {
  return {
    FindProducers: {
      unary: ({ topic, countMax }: { topic: string; countMax: number }) => ({
        clientIds: registry.producersOf(topic, Math.min(countMax, PRODUCERS_MAX)),
      }),
    },
    HandCommand: {
      unary: ({ clientId, command }: { clientId: string; command: Buffer }) => ({
        written: registry.streamOf(clientId)?.send(command) ?? false,
      }),
    },
  };
}
