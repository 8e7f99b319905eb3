import { type ConsumerGroupStatus } from '@raftmq/client';
import { type Command, JSON_OPTION } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';
import { table } from '../output.js';

interface GroupRow {
  readonly name: string;
  readonly fifo: boolean;
  readonly maxAttempts: number;
  readonly groups: string[];
}

/** `raftmq group list`. */
export const groupListCommand: Command = {
  name: 'group list',
  summary: 'Lists the consumer groups of the cluster; `group describe` shows how far one has come.',
  positionals: [],
  options: { ...ADMIN_OPTIONS, ...JSON_OPTION },
  run: async ({ options, output }) => {
    const groups = mergeGroups(await withAdmin(options, (admin) => admin.consumerGroups()));
    if (options.flag('json')) {
      output.data(JSON.stringify({ groups }));
      return 0;
    }
    const rows = groups.map((group) => [
      group.name,
      group.fifo ? 'in order' : 'concurrent',
      group.maxAttempts,
      group.groups.join(' '),
    ]);
    const heads = ['GROUP', 'MODE', 'ATTEMPTS', 'BROKER GROUPS'];
    for (const line of table(heads, rows)) output.data(line);
    return 0;
  },
};

/** One row per consumer group, over all broker groups. */
function mergeGroups(statuses: readonly ConsumerGroupStatus[]): readonly GroupRow[] {
  const rows = new Map<string, GroupRow>();
  for (const { brokerGroup, group } of statuses) {
    const groups = [...(rows.get(group.name)?.groups ?? []), brokerGroup];
    const { name, fifo, maxAttempts } = group;
    rows.set(name, { name, fifo, maxAttempts, groups });
  }
  return [...rows.values()].sort((a, b) => a.name.localeCompare(b.name));
}
