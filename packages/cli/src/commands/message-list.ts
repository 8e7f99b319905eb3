import { type ListMessagesInput } from '@raftmq/client';
import { type Command, JSON_OPTION, UsageError } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';
import { parseTime } from '../message-text.js';
import { COUNT_MAX, showMessages } from './message-query.js';

const BODY_SIZE_MAX = 64 * 1024;

/** `raftmq message list`. */
export const messageListCommand: Command = {
  name: 'message list',
  summary: 'Shows messages of a topic in the order of storing, without consuming them.',
  positionals: [],
  options: {
    topic: { value: 'NAME', doc: 'topic' },
    queue: { value: 'N', doc: 'only this queue, on each broker group that has it' },
    from: {
      value: 'WHERE',
      doc: 'an offset, a time such as 2026-01-31T12:00:00Z, so long ago as 10m, or newest',
      default: '0',
    },
    count: { value: 'N', doc: 'messages at most', default: '64' },
    ...ADMIN_OPTIONS,
    ...JSON_OPTION,
  },
  notes: [
    'No consumer group is moved. A broker gives 64 messages a call unless its setting queryMessagesMax says otherwise.',
    'Example: raftmq message list --topic orders --from newest --count 10',
  ],
  run: async ({ options, output }) => {
    const topic = options.text('topic');
    if (topic === '') throw new UsageError('raftmq message list needs --topic');
    const queue = options.has('queue') ? options.integer('queue', 0, 1023) : null;
    const found = await withAdmin(options, (admin) =>
      admin.listMessages({
        topic,
        ...(queue === null ? {} : { queueId: queue }),
        start: startOf(options.text('from')),
        count: options.integer('count', 1, COUNT_MAX),
        bodySizeMax: BODY_SIZE_MAX,
      }),
    );
    showMessages(found, options.flag('json'), output);
    return 0;
  },
};

function startOf(text: string): ListMessagesInput['start'] {
  if (text === 'newest') return { kind: 'newest' };
  if (/^\d+$/.test(text)) return { kind: 'offset', value: Number(text) };
  return { kind: 'time', value: parseTime('from', text, Date.now()) };
}
