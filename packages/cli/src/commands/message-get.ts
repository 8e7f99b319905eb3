import { messageMissing } from '@raftmq/client';
import { type Command, JSON_OPTION } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';
import { messageJson, messageLines } from '../message-text.js';

/** `raftmq message get`. */
export const messageGetCommand: Command = {
  name: 'message get',
  summary: "Shows the messages with an id: the client's, or RocketMQ's offset message id.",
  positionals: ['ID'],
  options: {
    topic: { value: 'NAME', doc: 'only in this topic' },
    ...ADMIN_OPTIONS,
    ...JSON_OPTION,
  },
  notes: [
    'Nothing is consumed. There are several when a message was sent twice, waited for a delivery time, or was copied to',
    'a dead-letter queue. Ends with 1 when there is none.',
  ],
  run: async ({ positionals, options, output }) => {
    const id = positionals[0]!;
    const topic = options.text('topic');
    const found = await withAdmin(options, (admin) => admin.findMessages(id, topic));
    if (found.messages.length === 0) throw messageMissing(id, topic, found.missingBytes);
    if (options.flag('json')) {
      output.data(JSON.stringify({ messages: found.messages.map(messageJson) }));
      return 0;
    }
    found.messages.forEach((message, i) => {
      if (i > 0) output.data('');
      for (const line of messageLines(message)) output.data(line);
    });
    return 0;
  },
};
