import { MqError } from '@raftmq/base';
import { type Command, JSON_OPTION } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';
import { table } from '../output.js';

/** `raftmq group describe`. */
export const groupDescribeCommand: Command = {
  name: 'group describe',
  summary: 'Shows how far a consumer group has come in each queue.',
  positionals: ['NAME'],
  options: { ...ADMIN_OPTIONS, ...JSON_OPTION },
  run: async ({ positionals, options, output }) => {
    const name = positionals[0]!;
    const statuses = await withAdmin(options, (admin) => admin.consumerGroups(name));
    const first = statuses[0];
    if (first === undefined) {
      throw new MqError('CONSUMER_GROUP_NOT_FOUND', `there is no consumer group ${name}`);
    }
    const { fifo, maxAttempts } = first.group;
    const progress = statuses.flatMap(({ brokerGroup, progress: own }) =>
      own.map(({ topic, queueId, committedOffset, maxOffset, inFlight }) => ({
        group: brokerGroup,
        topic,
        queueId,
        committedOffset,
        maxOffset,
        lag: maxOffset - committedOffset,
        inFlight,
      })),
    );
    if (options.flag('json')) {
      output.data(JSON.stringify({ name, fifo, maxAttempts, progress }));
      return 0;
    }
    output.data(`${name}: ${fifo ? 'in order' : 'concurrent'}, ${maxAttempts} attempts`);
    const rows = progress.map((entry) => [
      entry.group,
      entry.topic,
      entry.queueId,
      entry.committedOffset,
      entry.maxOffset,
      entry.lag,
      entry.inFlight,
    ]);
    const heads = ['BROKER GROUP', 'TOPIC', 'QUEUE', 'COMMITTED', 'END', 'LAG', 'IN FLIGHT'];
    for (const line of table(heads, rows)) output.data(line);
    return 0;
  },
};
