import { type Command } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';

/** `raftmq topic delete`. */
export const topicDeleteCommand: Command = {
  name: 'topic delete',
  summary: 'Deletes a topic and all its messages, on all broker groups.',
  positionals: ['NAME'],
  options: ADMIN_OPTIONS,
  run: async ({ positionals, options, output }) => {
    const name = positionals[0]!;
    await withAdmin(options, (admin) => admin.deleteTopic(name));
    output.data(`topic ${name} is deleted`);
    return 0;
  },
};
