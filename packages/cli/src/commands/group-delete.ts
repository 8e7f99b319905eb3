import { type Command } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';

/** `raftmq group delete`. */
export const groupDeleteCommand: Command = {
  name: 'group delete',
  summary: 'Deletes a consumer group and its progress, on all broker groups.',
  positionals: ['NAME'],
  options: ADMIN_OPTIONS,
  run: async ({ positionals, options, output }) => {
    const name = positionals[0]!;
    await withAdmin(options, (admin) => admin.deleteGroup(name));
    output.data(`consumer group ${name} is deleted`);
    return 0;
  },
};
