import { type TopicStatus } from '@raftmq/client';
import { type Command, JSON_OPTION } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';
import { permissionText } from '../permission.js';
import { table } from '../output.js';

interface TopicRow {
  readonly name: string;
  readonly type: string;
  readonly permission: number;
  readonly queues: number;
  readonly messages: number;
  readonly groups: string[];
}

/** `raftmq topic list`. */
export const topicListCommand: Command = {
  name: 'topic list',
  summary: 'Lists the topics of the cluster.',
  positionals: [],
  options: { ...ADMIN_OPTIONS, ...JSON_OPTION },
  run: async ({ options, output }) => {
    const topics = mergeTopics(await withAdmin(options, (admin) => admin.topics()));
    if (options.flag('json')) {
      output.data(JSON.stringify({ topics }));
      return 0;
    }
    const rows = topics.map((topic) => [
      topic.name,
      topic.type,
      permissionText(topic.permission),
      topic.queues,
      topic.messages,
      topic.groups.join(' '),
    ]);
    const heads = ['TOPIC', 'TYPE', 'PERM', 'QUEUES', 'MESSAGES', 'BROKER GROUPS'];
    for (const line of table(heads, rows)) output.data(line);
    return 0;
  },
};

/** One row per topic, over all broker groups. */
function mergeTopics(statuses: readonly TopicStatus[]): readonly TopicRow[] {
  const rows = new Map<string, TopicRow>();
  for (const { brokerGroup, topic, queues } of statuses) {
    const before = rows.get(topic.name);
    const messages = queues.reduce((sum, queue) => sum + queue.maxOffset - queue.minOffset, 0);
    rows.set(topic.name, {
      name: topic.name,
      type: topic.type,
      permission: topic.permission,
      queues: (before?.queues ?? 0) + queues.length,
      messages: (before?.messages ?? 0) + messages,
      groups: [...(before?.groups ?? []), brokerGroup],
    });
  }
  return [...rows.values()].sort((a, b) => a.name.localeCompare(b.name));
}
