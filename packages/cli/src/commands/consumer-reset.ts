import { type ResetTarget } from '@raftmq/client';
import { type Command, JSON_OPTION, type ParsedOptions, UsageError } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';
import { table } from '../output.js';
import { timeOf } from '../times.js';

/** `raftmq consumer reset`. */
export const consumerResetCommand: Command = {
  name: 'consumer reset',
  summary: 'Puts a consumer group somewhere else in a topic, also back, while its members run.',
  positionals: [],
  options: {
    group: { value: 'G', doc: 'the consumer group' },
    topic: { value: 'T', doc: 'the topic' },
    to: {
      value: 'beginning|end|TIME|OFFSET',
      doc: 'TIME: 2026-01-31T12:00:00Z, 30m (ago), or @ and Unix milliseconds; OFFSET needs --queue',
    },
    queue: { value: 'N', doc: 'one queue; all of them when left out' },
    'broker-group': { value: 'NAME', doc: 'at one broker group only' },
    'dry-run': { doc: 'only say what would be done' },
    ...ADMIN_OPTIONS,
    ...JSON_OPTION,
  },
  notes: [
    'What members hold is handed out again; what they acknowledge late is refused.',
    'Example: raftmq consumer reset --group billing --topic orders --to 1h',
  ],
  run: async ({ options, output }) => {
    const group = required(options, 'group');
    const topic = required(options, 'topic');
    const queueId = options.has('queue') ? options.integer('queue', 0, 65_535) : null;
    const target = targetOf(required(options, 'to'), queueId !== null);
    const dryRun = options.flag('dry-run');
    const brokerGroup = options.text('broker-group');
    const queues = await withAdmin(options, (admin) =>
      admin.resetOffset({
        group,
        topic,
        target,
        dryRun,
        ...(queueId === null ? {} : { queueId }),
        ...(brokerGroup === '' ? {} : { brokerGroup }),
      }),
    );
    if (options.flag('json')) {
      output.data(JSON.stringify({ group, topic, dryRun, queues }));
      return 0;
    }
    const rows = queues.map((queue) => [
      queue.brokerGroup,
      queue.queueId,
      queue.before,
      queue.after,
      queue.before - queue.after,
    ]);
    const heads = ['BROKER GROUP', 'QUEUE', 'FROM', 'TO', 'BACK'];
    for (const line of table(heads, rows)) output.data(line);
    if (dryRun) output.note('nothing was changed: that was a dry run');
    return 0;
  },
};

function required(options: ParsedOptions, name: string): string {
  const value = options.text(name);
  if (value === '') throw new UsageError(`--${name} is missing`);
  return value;
}

function targetOf(to: string, oneQueue: boolean): ResetTarget {
  if (to === 'beginning' || to === 'end') return { kind: to };
  if (/^\d+$/.test(to)) {
    if (!oneQueue)
      throw new UsageError(
        `--to ${to} is an offset, which belongs to one queue: give --queue, or write a time as @${to}`,
      );
    return { kind: 'offset', offset: Number(to) };
  }
  const timestampMs = timeOf(to, Date.now());
  if (timestampMs !== null) return { kind: 'timestamp', timestampMs };
  throw new UsageError(
    `--to is "${to}"; it must be beginning, end, an offset, or a time as 2026-01-31T12:00:00Z or 30m (ago)`,
  );
}
