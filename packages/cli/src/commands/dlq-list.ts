import { type DeadLetterInfo } from '@raftmq/client';
import { type Command, JSON_OPTION } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';
import { table } from '../output.js';
import { FILTER_OPTION, letterFilter } from './dlq-filter.js';

/** `raftmq dlq list`. */
export const dlqListCommand: Command = {
  name: 'dlq list',
  summary:
    'Lists the dead letters of a consumer group: where from, why, and after how many attempts.',
  positionals: ['GROUP'],
  options: {
    ...FILTER_OPTION,
    waiting: { doc: 'only those that were not sent again' },
    limit: { value: 'N', doc: 'at most so many', default: '1000' },
    ...ADMIN_OPTIONS,
    ...JSON_OPTION,
  },
  notes: ['The bodies are messages of topic %DLQ%GROUP: any consumer can subscribe to it.'],
  run: async ({ positionals, options, output, signal }) => {
    const group = positionals[0]!;
    const matches = letterFilter(options);
    const limit = options.integer('limit', 1, 10_000_000);
    const letters: DeadLetterInfo[] = [];
    let more = false;
    await withAdmin(options, async (admin) => {
      for await (const letter of admin.deadLetters(group)) {
        if (signal.aborted) return;
        if (!matches(letter) || (options.flag('waiting') && letter.resent)) continue;
        if (letters.length === limit) {
          more = true;
          return;
        }
        letters.push(letter);
      }
    });
    if (options.flag('json')) output.data(JSON.stringify({ group, letters, more }));
    else for (const line of table(HEADS, letters.map(row))) output.data(line);
    if (more) output.note(`there are more; --limit ${limit * 10} shows them`);
    return signal.aborted ? 1 : 0;
  },
};

const HEADS = ['ID', 'BROKER GROUP', 'LETTER', 'FROM', 'ATTEMPTS', 'LAST', 'RESENT', 'REASON'];

function row(letter: DeadLetterInfo): (string | number)[] {
  const { originTopic, originQueueId, originQueueOffset, lastDeliveryMs } = letter;
  return [
    letter.messageId,
    letter.brokerGroup,
    letter.queueOffset,
    originQueueId < 0 ? originTopic : `${originTopic} ${originQueueId}/${originQueueOffset}`,
    letter.attempts,
    lastDeliveryMs === 0 ? '-' : new Date(lastDeliveryMs).toISOString(),
    letter.resent ? 'yes' : 'no',
    letter.reason,
  ];
}
