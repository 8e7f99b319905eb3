import { type TransactionInfo } from '@raftmq/client';
import { type Command, JSON_OPTION } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';
import { timeText, transactionJson } from '../transaction-text.js';

/** `raftmq transaction get`. */
export const transactionGetCommand: Command = {
  name: 'transaction get',
  summary: 'Shows what became of a transaction: open, or how it ended.',
  positionals: ['ID'],
  options: {
    ...ADMIN_OPTIONS,
    ...JSON_OPTION,
    body: { doc: 'print the body of the message, too, while the transaction is open' },
  },
  notes: [
    'ID is the message id. Outcomes are kept for a day unless the brokers are told otherwise.',
  ],
  run: async ({ positionals, options, output }) => {
    const found = await withAdmin(options, (admin) => admin.transaction(positionals[0]!));
    if (options.flag('json')) {
      output.data(JSON.stringify({ transactions: found.map(transactionJson) }));
      return 0;
    }
    for (const transaction of found) {
      for (const line of describe(transaction, options.flag('body'))) output.data(line);
    }
    return 0;
  },
};

function describe(transaction: TransactionInfo, withBody: boolean): string[] {
  const { message, state } = transaction;
  const by = transaction.decidedByCheck ? ', in answer to a question of the broker' : '';
  const lines: [string, string | null][] = [
    ['transaction', transaction.transactionId],
    ['state', state],
    ['topic', `${transaction.topic} (broker group ${transaction.brokerGroup})`],
    ['sent by', transaction.clientId],
    ['stored', timeText(transaction.storedAtMs)],
    ['asked', `${transaction.checks} times`],
    ['asked next', timeText(transaction.nextCheckAtMs)],
    ['parked', timeText(transaction.parkedAtMs)],
    ['decided', transaction.decidedAtMs === null ? null : timeText(transaction.decidedAtMs) + by],
    ['body', `${transaction.bodySizeBytes} bytes`],
    ['tag', message?.tag ?? null],
    ['keys', message?.keys.join(' ') ?? null],
    ...Object.entries(message?.userProperties ?? {}).map(([name, value]): [string, string] => [
      'property',
      `${name} = ${value}`,
    ]),
  ];
  const shown = lines.filter(([, value]) => value !== null && value !== '');
  const text = shown.map(([name, value]) => `${name.padEnd(12)} ${value}`);
  if (withBody && message !== null) text.push('', message.body.toString('utf8'));
  return text;
}
