import { MqError } from '@raftmq/base';
import { type Command, JSON_OPTION, UsageError } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';

/** `raftmq transaction resume`. */
export const transactionResumeCommand: Command = {
  name: 'transaction resume',
  summary: 'Lets the brokers ask producers again about parked transactions.',
  positionals: ['[ID]'],
  options: {
    ...ADMIN_OPTIONS,
    ...JSON_OPTION,
    topic: { value: 'TOPIC', doc: 'all parked ones of this topic' },
    all: { doc: 'all parked ones of all topics' },
  },
  notes: ['Name one transaction by its message id, or many with --topic or --all.'],
  run: async ({ positionals, options, output }) => {
    const [transactionId = ''] = positionals;
    const topic = options.text('topic');
    if (transactionId === '' && topic === '' && !options.flag('all')) {
      throw new UsageError('raftmq transaction resume needs ID, --topic TOPIC or --all');
    }
    const resumed = await withAdmin(options, (admin) =>
      admin.resumeTransactions({ topic, transactionId }),
    );
    if (resumed === 0 && transactionId !== '') {
      throw new MqError('INVALID_TRANSACTION_ID', `no transaction ${transactionId} is parked`);
    }
    if (options.flag('json')) output.data(JSON.stringify({ resumed }));
    else output.data(`${resumed} transactions are asked about again`);
    return 0;
  },
};
