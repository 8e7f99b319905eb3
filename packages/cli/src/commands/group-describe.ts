import { MqError } from '@raftmq/base';
import { type Command, JSON_OPTION } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';
import { table } from '../output.js';
import { consumeFromText, retryPolicyText } from './group-flags.js';

const FILTER_SHOWN_MAX = 200;

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
    const { fifo, maxAttempts, retryPolicy, consumeFrom, consumeEnabled = true } = first.group;
    const progress = statuses.flatMap(({ brokerGroup, progress: own }) =>
      own.map(({ topic, queueId, committedOffset, maxOffset, inFlight, lag }) => ({
        group: brokerGroup,
        topic,
        queueId,
        committedOffset,
        maxOffset,
        lag,
        inFlight,
      })),
    );
    const conflicts = statuses.flatMap(({ brokerGroup, conflicts: own }) =>
      own.map((conflict) => ({ group: brokerGroup, ...conflict })),
    );
    if (options.flag('json')) {
      output.data(JSON.stringify({ ...first.group, consumeEnabled, progress, conflicts }));
      return 0;
    }
    output.data(`${name}: ${fifo ? 'in order' : 'concurrent'}, ${maxAttempts} attempts`);
    output.data(retryPolicyText(retryPolicy));
    output.data(`begins ${consumeFromText(consumeFrom)}${consumeEnabled ? '' : '; paused'}`);
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
    for (const { group, topic, choices } of conflicts) {
      output.data('');
      output.data(
        `Members subscribe differently to topic ${topic} (broker group ${group}); each loses what another one passes over:`,
      );
      for (const { subscribed, filter, clientCount, clientIds } of choices) {
        const more = clientCount > clientIds.length ? ', …' : '';
        const what = subscribed ? readable(filter) : 'not subscribed';
        output.data(
          `  ${what}: ${clientCount} client${clientCount === 1 ? '' : 's'}: ${clientIds.join(', ')}${more}`,
        );
      }
    }
    return 0;
  },
};

/** A filter comes from a client: it may be long, and hold characters that a terminal obeys. */
function readable(filter: string): string {
  const line = [...filter.slice(0, FILTER_SHOWN_MAX)]
    .map((char) => (char < ' ' || (char >= '\x7f' && char < '\xa0') ? ' ' : char))
    .join('');
  return filter.length > FILTER_SHOWN_MAX ? `${line}…` : line;
}
