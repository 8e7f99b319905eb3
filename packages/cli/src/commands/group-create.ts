import { type Command } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';

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
    'if-new': { doc: 'fail when the group exists with other settings' },
    ...ADMIN_OPTIONS,
  },
  notes: ['Example: raftmq group create billing --fifo --max-attempts 5'],
  run: async ({ positionals, options, output }) => {
    const group = {
      name: positionals[0]!,
      fifo: options.flag('fifo'),
      maxAttempts: options.integer('max-attempts', 1, 10_000),
    };
    await withAdmin(options, (admin) => admin.putGroup(group, options.flag('if-new')));
    const order = group.fifo ? 'in order' : 'concurrent';
    output.data(`consumer group ${group.name} (${order}, ${group.maxAttempts} attempts) is there`);
    return 0;
  },
};
