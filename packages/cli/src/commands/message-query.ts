import { type FoundMessages } from '@raftmq/client';
import { type Command, JSON_OPTION, UsageError } from '../command.js';
import { type Output, table } from '../output.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';
import {
  bodyPreview,
  messageJson,
  missingNote,
  parseTime,
  printable,
  timeText,
} from '../message-text.js';

const BODY_SIZE_MAX = 64 * 1024;
const PREVIEW_LENGTH = 60;
export const COUNT_MAX = 10_000;

/** `raftmq message query`. */
export const messageQueryCommand: Command = {
  name: 'message query',
  summary: 'Finds messages of a topic by key, newest first.',
  positionals: [],
  options: {
    topic: { value: 'NAME', doc: 'topic' },
    key: { value: 'KEY', doc: 'key' },
    from: { value: 'TIME', doc: 'stored at or after: 2026-01-31T12:00:00Z, or 2h ago' },
    through: { value: 'TIME', doc: 'stored at or before' },
    count: { value: 'N', doc: 'messages at most', default: '64' },
    ...ADMIN_OPTIONS,
    ...JSON_OPTION,
  },
  notes: ['Example: raftmq message query --topic orders --key order-42'],
  run: async ({ options, output }) => {
    const topic = options.text('topic');
    const key = options.text('key');
    if (topic === '' || key === '')
      throw new UsageError('raftmq message query needs --topic and --key');
    const nowMs = Date.now();
    const from = options.text('from');
    const through = options.text('through');
    const found = await withAdmin(options, (admin) =>
      admin.queryMessages({
        topic,
        key,
        ...(from === '' ? {} : { fromMs: parseTime('from', from, nowMs) }),
        ...(through === '' ? {} : { throughMs: parseTime('through', through, nowMs) }),
        count: options.integer('count', 1, COUNT_MAX),
        bodySizeMax: BODY_SIZE_MAX,
      }),
    );
    showMessages(found, options.flag('json'), output);
    return 0;
  },
};

/** Prints found messages as a table or as JSON. */
export function showMessages(found: FoundMessages, json: boolean, output: Output): void {
  const { messages, more, missingBytes } = found;
  if (json) {
    output.data(JSON.stringify({ messages: messages.map(messageJson), more, missingBytes }));
  } else {
    const rows = messages.map((message) => [
      message.messageId === '' ? '-' : printable(message.messageId),
      message.brokerGroup,
      message.queueId,
      message.queueOffset,
      timeText(message.storeTimestamp),
      printable(message.tag),
      printable(message.keys.join(' ')),
      bodyPreview(message, PREVIEW_LENGTH),
    ]);
    const heads = [
      'MESSAGE ID',
      'BROKER GROUP',
      'QUEUE',
      'OFFSET',
      'STORED',
      'TAG',
      'KEYS',
      'BODY',
    ];
    for (const line of table(heads, rows)) output.data(line);
    if (more) output.note('there are more messages; a larger --count shows them');
  }
  const note = missingNote(missingBytes);
  if (note !== null) output.note(note);
}
