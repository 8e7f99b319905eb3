import { type Command, JSON_OPTION } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';
import { table } from '../output.js';
import { timeText, transactionJson } from '../transaction-text.js';

const LIMIT_MAX = 10_000;

/** `raftmq transaction list`. */
export const transactionListCommand: Command = {
  name: 'transaction list',
  summary: 'Lists transactions without a decision, oldest first.',
  positionals: [],
  options: {
    ...ADMIN_OPTIONS,
    ...JSON_OPTION,
    topic: { value: 'TOPIC', doc: 'only those of this topic' },
    state: { value: 'STATE', doc: 'pending, parked, or all', default: 'all' },
    limit: { value: 'N', doc: 'of each broker group', default: '100' },
  },
  run: async ({ options, output }) => {
    const state = options.choice('state', ['pending', 'parked', 'all']);
    const limit = options.integer('limit', 1, LIMIT_MAX);
    const filter = { topic: options.text('topic'), ...(state === 'all' ? {} : { state }) };
    const transactions = await withAdmin(options, (admin) => admin.transactions(filter, limit));
    if (options.flag('json')) {
      output.data(JSON.stringify({ transactions: transactions.map(transactionJson) }));
      return 0;
    }
    const rows = transactions.map((transaction) => [
      transaction.transactionId,
      transaction.topic,
      transaction.state,
      transaction.checks,
      timeText(transaction.storedAtMs),
      timeText(transaction.nextCheckAtMs ?? transaction.parkedAtMs),
      transaction.clientId,
    ]);
    const heads = ['ID', 'TOPIC', 'STATE', 'ASKED', 'STORED', 'ASKED NEXT / PARKED', 'CLIENT'];
    for (const line of table(heads, rows)) output.data(line);
    return 0;
  },
};
