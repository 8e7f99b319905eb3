import { type Command } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';
import { GROUP_OPTIONS, groupChanges } from './group-flags.js';

/** `raftmq group create`. */
export const groupCreateCommand: Command = {
  name: 'group create',
  summary: 'Creates a consumer group, or changes it.',
  positionals: ['NAME'],
  options: {
    fifo: { doc: 'consume in order: one batch of a queue at a time' },
    'max-attempts': {
      value: 'N',
      doc: 'deliveries before a message goes to the dead-letter queue',
      default: '17',
    },
    ...GROUP_OPTIONS,
    'if-new': { doc: 'fail when the group exists with other settings' },
    ...ADMIN_OPTIONS,
  },
  notes: [
    'Example: raftmq group create billing --fifo --max-attempts 5 --retry-waits 1s,10s,1m',
    'What no flag names gets its default, also in a group that exists: `group update` leaves it.',
  ],
  run: async ({ positionals, options, output }) => {
    const group = {
      name: positionals[0]!,
      fifo: options.flag('fifo'),
      maxAttempts: options.integer('max-attempts', 1, 10_000),
      ...groupChanges(options),
    };
    await withAdmin(options, (admin) => admin.putGroup(group, options.flag('if-new')));
    const order = group.fifo ? 'in order' : 'concurrent';
    output.data(`consumer group ${group.name} (${order}, ${group.maxAttempts} attempts) is there`);
    return 0;
  },
};
