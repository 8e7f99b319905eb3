import { type ConsumerGroupStatus } from '@raftmq/client';
import { type Command, JSON_OPTION } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';
import { table } from '../output.js';

interface GroupRow {
  readonly name: string;
  readonly fifo: boolean;
  readonly maxAttempts: number;
  readonly topics: number;
  /** Messages that are not acknowledged yet. */
  readonly lag: number;
  readonly inFlight: number;
}

/** `raftmq group list`. */
export const groupListCommand: Command = {
  name: 'group list',
  summary: 'Lists the consumer groups of the cluster.',
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
      group.topics,
      group.lag,
      group.inFlight,
    ]);
    const heads = ['GROUP', 'MODE', 'ATTEMPTS', 'TOPICS', 'LAG', 'IN FLIGHT'];
    for (const line of table(heads, rows)) output.data(line);
    return 0;
  },
};

/** One row per consumer group, over all broker groups. */
function mergeGroups(statuses: readonly ConsumerGroupStatus[]): readonly GroupRow[] {
  const byName = new Map<string, ConsumerGroupStatus[]>();
  for (const status of statuses) {
    byName.set(status.group.name, [...(byName.get(status.group.name) ?? []), status]);
  }
  const rows = [...byName.values()].map((same) => {
    const { name, fifo, maxAttempts } = same[0]!.group;
    const progress = same.flatMap((status) => status.progress);
    return {
      name,
      fifo,
      maxAttempts,
      topics: new Set(progress.map((entry) => entry.topic)).size,
      lag: progress.reduce((sum, entry) => sum + entry.maxOffset - entry.committedOffset, 0),
      inFlight: progress.reduce((sum, entry) => sum + entry.inFlight, 0),
    };
  });
  return rows.sort((a, b) => a.name.localeCompare(b.name));
}
