import { type Clock, type Logger } from '@raftmq/base';
import { type ProtoHandlers, type RpcStream } from '@raftmq/rpc';
import { type BrokerRegistration, type GroupRoute, type RegistrationAck } from '@raftmq/protocol';
import { type NamesrvProbe } from './probe.js';
import { type RouteTable } from './route-table.js';

export interface ServiceParts {
  readonly table: RouteTable;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly probe: NamesrvProbe;
  /** The open Register streams: the owner ends them when it closes. */
  readonly streams: Set<RpcStream<BrokerRegistration, RegistrationAck>>;
}

/** The RPCs of a NameServer over its route table. */
export function namesrvHandlers(parts: ServiceParts): ProtoHandlers {
  const { table, clock, probe } = parts;
  return {
    Register: {
      bidi: (stream) => receiveRegistrations(parts, stream),
    },
    GetTopicRoute: {
      unary({ topic }: { readonly topic: string }): { groups: GroupRoute[] } {
        probe.topicQueries++;
        return { groups: table.topicRoute(topic, clock.monotonicMs()) };
      },
    },
    GetCluster: {
      unary(): { groups: GroupRoute[] } {
        probe.clusterQueries++;
        return { groups: table.cluster(clock.monotonicMs()) };
      },
    },
  };
}

function receiveRegistrations(
  parts: ServiceParts,
  stream: RpcStream<BrokerRegistration, RegistrationAck>,
): void {
  const { table, clock, logger, probe, streams } = parts;
  let who: { group: string; nodeId: number } | null = null;
  streams.add(stream);
  stream.listen({
    message(registration) {
      probe.registrations++;
      const { group, nodeId, term, leaderId } = registration;
      const ack = table.register(registration, stream, clock.monotonicMs());
      stream.write(ack);
      if (ack.refused !== '') {
        probe.refusedRegistrations++;
        logger.warn({ group, nodeId, reason: ack.refused }, 'registration refused');
      } else if (who === null) {
        who = { group, nodeId };
        logger.info({ group, nodeId, term, leaderId }, 'replica registered');
      }
    },
    ended: () => stream.end(),
    closed() {
      streams.delete(stream);
      table.streamClosed(stream);
      if (who !== null) logger.info({ ...who }, 'replica left');
    },
  });
}
