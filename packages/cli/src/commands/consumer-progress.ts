import { MqError } from '@raftmq/base';
import { type Command, JSON_OPTION } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';
import { table } from '../output.js';

/** `raftmq consumer progress`. */
export const consumerProgressCommand: Command = {
  name: 'consumer progress',
  summary: 'Shows how far a consumer group is, and how much it has to do, per queue and in all.',
  positionals: ['GROUP'],
  options: {
    topic: { value: 'T', doc: 'one topic; all that the group reads when left out' },
    ...ADMIN_OPTIONS,
    ...JSON_OPTION,
  },
  run: async ({ positionals, options, output }) => {
    const group = positionals[0]!;
    const topic = options.text('topic');
    const statuses = await withAdmin(options, (admin) => admin.consumerGroups(group));
    if (statuses.length === 0) {
      throw new MqError('CONSUMER_GROUP_NOT_FOUND', `there is no consumer group ${group}`);
    }
    const queues = statuses.flatMap(({ brokerGroup, progress }) =>
      progress
        .filter((entry) => topic === '' || entry.topic === topic)
        .map((entry) => ({ brokerGroup, ...entry })),
    );
    const lag = queues.reduce((sum, queue) => sum + queue.lag, 0);
    const inFlight = queues.reduce((sum, queue) => sum + queue.inFlight, 0);
    if (options.flag('json')) {
      output.data(JSON.stringify({ group, lag, inFlight, queues }));
      return 0;
    }
    const rows = queues.map((queue) => [
      queue.brokerGroup,
      queue.topic,
      queue.queueId,
      queue.committedOffset,
      queue.maxOffset,
      queue.lag,
      queue.inFlight,
    ]);
    const heads = ['BROKER GROUP', 'TOPIC', 'QUEUE', 'COMMITTED', 'END', 'LAG', 'IN FLIGHT'];
    for (const line of table(heads, rows)) output.data(line);
    output.data(`${group}: lag ${lag}, in flight ${inFlight}`);
    return 0;
  },
};
