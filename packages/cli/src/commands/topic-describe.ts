import { MqError } from '@raftmq/base';
import { type Command, JSON_OPTION } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';
import { permissionText } from '../permission.js';
import { table } from '../output.js';

/** `raftmq topic describe`. */
export const topicDescribeCommand: Command = {
  name: 'topic describe',
  summary: 'Shows the queues of a topic and their offsets.',
  positionals: ['NAME'],
  options: { ...ADMIN_OPTIONS, ...JSON_OPTION },
  run: async ({ positionals, options, output }) => {
    const name = positionals[0]!;
    const statuses = await withAdmin(options, (admin) => admin.topics(name));
    const first = statuses[0];
    if (first === undefined) throw new MqError('TOPIC_NOT_FOUND', `there is no topic ${name}`);
    const queues = statuses.flatMap(({ brokerGroup, queues: own }) =>
      own.map(({ queueId, minOffset, maxOffset }) => ({
        group: brokerGroup,
        queueId,
        minOffset,
        maxOffset,
      })),
    );
    const { type, permission } = first.topic;
    if (options.flag('json')) {
      output.data(JSON.stringify({ name, type, permission, queues }));
      return 0;
    }
    output.data(`${name}: ${type}, ${permissionText(permission)}, ${queues.length} queues`);
    const rows = queues.map((queue) => [
      queue.group,
      queue.queueId,
      queue.minOffset,
      queue.maxOffset,
      queue.maxOffset - queue.minOffset,
    ]);
    const heads = ['BROKER GROUP', 'QUEUE', 'FROM', 'END', 'MESSAGES'];
    for (const line of table(heads, rows)) output.data(line);
    return 0;
  },
};
