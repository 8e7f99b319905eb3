import { type Command } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';

/** `raftmq raft transfer`. */
export const raftTransferCommand: Command = {
  name: 'raft transfer',
  summary: 'Hands the leadership of a broker group to another replica.',
  positionals: ['BROKER_GROUP'],
  options: {
    to: { value: 'ID', doc: 'replica to hand it to; without it the most advanced follower' },
    ...ADMIN_OPTIONS,
  },
  notes: ['Example: raftmq raft transfer broker-a --to 2'],
  run: async ({ positionals, options, output }) => {
    const group = positionals[0]!;
    const target = options.has('to') ? options.integer('to', 0, 31) : -1;
    await withAdmin(options, (admin) => admin.transferLeadership(group, target));
    output.data(`the leadership of ${group} was handed over`);
    return 0;
  },
};
