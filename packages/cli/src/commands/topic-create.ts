import { topicTypes } from '@raftmq/protocol';
import { type Command } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';

const READ_AND_WRITE = 6;

/** `raftmq topic create`. */
export const topicCreateCommand: Command = {
  name: 'topic create',
  summary: 'Creates a topic on all broker groups, or changes it.',
  positionals: ['NAME'],
  options: {
    type: { value: 'TYPE', doc: topicTypes.join(', '), default: 'NORMAL' },
    queues: { value: 'N', doc: 'queues on each broker group', default: '8' },
    perm: { value: 'BITS', doc: '6 = read and write, 4 = read only, 2 = write only', default: '6' },
    group: { value: 'NAME', doc: 'only this broker group' },
    'if-new': { doc: 'fail when the topic exists with other settings' },
    ...ADMIN_OPTIONS,
  },
  notes: ['Example: raftmq topic create orders --type FIFO --queues 16'],
  run: async ({ positionals, options, output }) => {
    const topic = {
      name: positionals[0]!,
      type: options.choice('type', topicTypes),
      queues: options.integer('queues', 1, 1024),
      permission: options.integer('perm', 2, READ_AND_WRITE),
    };
    await withAdmin(options, (admin) =>
      admin.putTopic(topic, options.flag('if-new'), options.text('group')),
    );
    output.data(
      `topic ${topic.name} (${topic.type}, ${topic.queues} queues per broker group) is there`,
    );
    return 0;
  },
};
