import { readFileSync } from 'node:fs';
import { Producer, type MessageInput } from '@raftmq/client';
import { type Command, JSON_OPTION, type ParsedOptions, UsageError } from '../command.js';
import { ADMIN_OPTIONS, tlsOf, withAdmin } from '../connection.js';

const DELAY_MS_MAX = 3_660 * 24 * 3_600_000;

/** `raftmq message send`. */
export const messageSendCommand: Command = {
  name: 'message send',
  summary: 'Sends one message, for trying.',
  positionals: [],
  options: {
    topic: { value: 'NAME', doc: 'topic' },
    body: { value: 'TEXT', doc: 'body' },
    'body-file': { value: 'FILE', doc: 'reads the body from a file, - = standard input' },
    tag: { value: 'TAG', doc: 'tag' },
    key: { value: 'KEY', doc: 'a key to find it by', multiple: true },
    property: { value: 'NAME=VALUE', doc: 'a user property', multiple: true },
    'message-group': { value: 'NAME', doc: 'message group, for topics of type FIFO' },
    delay: { value: 'TIME', doc: 'delivered so much later, for topics of type DELAY' },
    ...ADMIN_OPTIONS,
    ...JSON_OPTION,
  },
  notes: [
    'Example: raftmq message send --topic orders --body hello --key order-42 --property color=red',
  ],
  run: async ({ options, output }) => {
    const message = messageOf(options);
    const producer = new Producer({
      endpoints: await endpointsOf(options),
      tls: tlsOf(options),
      topics: [message.topic],
    });
    try {
      await producer.start();
      const receipt = await producer.send(message);
      if (options.flag('json')) output.data(JSON.stringify(receipt));
      else {
        const { messageId, topic, queueOffset, brokerName, recallHandle } = receipt;
        const place = queueOffset < 0 ? '' : `, queue offset ${queueOffset}`;
        const where = brokerName === '' ? '' : `, broker group ${brokerName}`;
        output.data(`${messageId} stored in topic ${topic}${where}${place}`);
        if (recallHandle !== '') output.data(`recall handle ${recallHandle}`);
      }
      return 0;
    } finally {
      await producer.close();
    }
  },
};

function messageOf(options: ParsedOptions): MessageInput {
  const topic = options.text('topic');
  if (topic === '') throw new UsageError('raftmq message send needs --topic');
  const file = options.text('body-file');
  if ((file === '') === !options.has('body'))
    throw new UsageError('raftmq message send needs one of --body and --body-file');
  const properties = options.list('property').map((pair) => {
    const equals = pair.indexOf('=');
    if (equals <= 0) throw new UsageError(`--property is "${pair}"; it must be NAME=VALUE`);
    return [pair.slice(0, equals), pair.slice(equals + 1)] as const;
  });
  return {
    topic,
    body: file === '' ? options.text('body') : readFileSync(file === '-' ? 0 : file),
    keys: options.list('key'),
    properties: Object.fromEntries(properties),
    ...(options.has('tag') ? { tag: options.text('tag') } : {}),
    ...(options.has('message-group') ? { messageGroup: options.text('message-group') } : {}),
    ...(options.has('delay') ? { delayMs: options.durationMs('delay', 0, DELAY_MS_MAX) } : {}),
  };
}

/** Brokers as given, else those that the NameServer knows. */
async function endpointsOf(options: ParsedOptions): Promise<string> {
  const endpoints = options.text('endpoints');
  if (endpoints !== '') return endpoints;
  const groups = await withAdmin(options, (admin) => admin.groups());
  return groups
    .flatMap(({ replicas }) => replicas.map(({ grpcAddress }) => grpcAddress))
    .filter((address) => address !== '')
    .join(';');
}
