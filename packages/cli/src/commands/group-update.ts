import { MqError } from '@raftmq/base';
import { type Command, UsageError } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';
import { GROUP_OPTIONS, groupChanges } from './group-flags.js';

/** `raftmq group update`. */
export const groupUpdateCommand: Command = {
  name: 'group update',
  summary: 'Changes what the flags name of a consumer group, and leaves the rest.',
  positionals: ['NAME'],
  options: {
    fifo: { value: 'true|false', doc: 'consume in order: one batch of a queue at a time' },
    'max-attempts': {
      value: 'N',
      doc: 'deliveries before a message goes to the dead-letter queue',
    },
    ...GROUP_OPTIONS,
    ...ADMIN_OPTIONS,
  },
  notes: [
    'Example: raftmq group update billing --consume-enable false',
    'Clients hear of a new retry policy with their next Settings, within 5 minutes.',
  ],
  run: async ({ positionals, options, output }) => {
    const name = positionals[0]!;
    const changes = {
      ...(options.has('fifo') ? { fifo: options.flag('fifo') } : {}),
      ...(options.has('max-attempts')
        ? { maxAttempts: options.integer('max-attempts', 1, 10_000) }
        : {}),
      ...groupChanges(options),
    };
    if (Object.keys(changes).length === 0) throw new UsageError('say what to change; see --help');
    await withAdmin(options, async (admin) => {
      const [known] = await admin.consumerGroups(name);
      if (known === undefined) {
        throw new MqError('CONSUMER_GROUP_NOT_FOUND', `there is no consumer group ${name}`);
      }
      await admin.putGroup({ ...known.group, ...changes }, false);
    });
    output.data(`consumer group ${name} is changed`);
    return 0;
  },
};
