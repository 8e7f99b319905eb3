import { type Command, JSON_OPTION } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';
import { table } from '../output.js';

/** `raftmq cluster list`. */
export const clusterListCommand: Command = {
  name: 'cluster list',
  summary: 'Lists broker groups, their replicas and leaders.',
  positionals: [],
  options: { ...ADMIN_OPTIONS, ...JSON_OPTION },
  run: async ({ options, output }) => {
    const groups = await withAdmin(options, (admin) => admin.groups());
    if (options.flag('json')) {
      const shown = groups.map(({ cluster, group, term, leaderId, replicas }) => ({
        cluster,
        group,
        term,
        leader: leaderId,
        replicas: replicas.map((replica) => ({
          id: replica.nodeId,
          grpc: replica.grpcAddress,
          remoting: replica.remotingAddress,
          metrics: replica.metricsAddress,
        })),
      }));
      output.data(JSON.stringify({ groups: shown }));
      return 0;
    }
    const rows = groups.flatMap((group) =>
      [...group.replicas]
        .sort((a, b) => a.nodeId - b.nodeId)
        .map((replica) => [
          group.cluster,
          group.group,
          replica.nodeId,
          replica.nodeId === group.leaderId ? 'leader' : 'follower',
          replica.grpcAddress,
          replica.remotingAddress,
          replica.metricsAddress,
        ]),
    );
    const heads = ['CLUSTER', 'BROKER GROUP', 'ID', 'ROLE', 'GRPC', 'REMOTING', 'METRICS'];
    for (const line of table(heads, rows)) output.data(line);
    return 0;
  },
};
