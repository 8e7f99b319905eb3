import { type RaftReplicaStatus } from '@raftmq/client';
import { type Command, JSON_OPTION } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';
import { table } from '../output.js';

const DIGEST_LENGTH_SHOWN = 12;

/** `raftmq raft status`. */
export const raftStatusCommand: Command = {
  name: 'raft status',
  summary: 'Shows term, leader and log position of every replica.',
  positionals: [],
  options: { ...ADMIN_OPTIONS, ...JSON_OPTION },
  notes: ['Replicas with an equal applied index have an equal digest of their state.'],
  run: async ({ options, output }) => {
    const groups = await withAdmin(options, (admin) => admin.raftStatus());
    if (options.flag('json')) {
      output.data(JSON.stringify({ groups }));
      return 0;
    }
    const rows = groups.flatMap((group) =>
      group.replicas.map((replica) => [
        group.group,
        group.term,
        replica.id,
        roleOf(replica),
        replica.lastIndex,
        replica.commitIndex,
        replica.appliedIndex,
        replica.digest.slice(0, DIGEST_LENGTH_SHOWN),
      ]),
    );
    const heads = ['BROKER GROUP', 'TERM', 'ID', 'ROLE', 'LAST', 'COMMITTED', 'APPLIED', 'DIGEST'];
    for (const line of table(heads, rows)) output.data(line);
    return 0;
  },
};

function roleOf({ role, up, recovery }: RaftReplicaStatus): string {
  if (!up) return 'down';
  return recovery === undefined ? role : `${role} (recovering: ${recovery})`;
}
