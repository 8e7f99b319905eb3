import { errorText, isMqError, nearest } from '@raftmq/base';
import { type Command, commandHelp, parseCommandLine, UsageError } from './command.js';
import { type Output, processOutput } from './output.js';

/** What `main` takes from the process; tests give their own. */
export interface MainEnvironment {
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly output: Output;
  readonly signal: AbortSignal;
}

type Loader = () => Promise<Command>;

/**
 * All commands of this package, loaded when they are called: `raftmq --help` must not pay for gRPC.
 * The words are those that people type; the first word alone names a family.
 */
const COMMANDS: Readonly<Record<string, { readonly summary: string; readonly load: Loader }>> = {
  dev: {
    summary: 'run a whole cluster on this machine',
    load: async () => (await import('./commands/dev.js')).devCommand,
  },
  quickstart: {
    summary: 'send and receive 1000 messages, and say how it went',
    load: async () => (await import('./commands/quickstart.js')).quickstartCommand,
  },
  'quickstart producer': {
    summary: 'send messages to a topic',
    load: async () => (await import('./commands/quickstart.js')).quickstartProducerCommand,
  },
  'quickstart consumer': {
    summary: 'receive and acknowledge messages of a topic',
    load: async () => (await import('./commands/quickstart.js')).quickstartConsumerCommand,
  },
  'topic create': {
    summary: 'create a topic, or change one',
    load: async () => (await import('./commands/topic-create.js')).topicCreateCommand,
  },
  'topic delete': {
    summary: 'delete a topic and its messages',
    load: async () => (await import('./commands/topic-delete.js')).topicDeleteCommand,
  },
  'topic list': {
    summary: 'list the topics',
    load: async () => (await import('./commands/topic-list.js')).topicListCommand,
  },
  'topic describe': {
    summary: 'show the queues of a topic and their offsets',
    load: async () => (await import('./commands/topic-describe.js')).topicDescribeCommand,
  },
  'group create': {
    summary: 'create a consumer group, or change one',
    load: async () => (await import('./commands/group-create.js')).groupCreateCommand,
  },
  'group update': {
    summary: 'change a consumer group: retries, start, pause',
    load: async () => (await import('./commands/group-update.js')).groupUpdateCommand,
  },
  'group delete': {
    summary: 'delete a consumer group and its progress',
    load: async () => (await import('./commands/group-delete.js')).groupDeleteCommand,
  },
  'group list': {
    summary: 'list the consumer groups',
    load: async () => (await import('./commands/group-list.js')).groupListCommand,
  },
  'group describe': {
    summary: 'show the progress and the lag of a consumer group',
    load: async () => (await import('./commands/group-describe.js')).groupDescribeCommand,
  },
  'consumer progress': {
    summary: 'show the lag of a consumer group per queue',
    load: async () => (await import('./commands/consumer-progress.js')).consumerProgressCommand,
  },
  'consumer reset': {
    summary: 'put a consumer group somewhere else in a topic',
    load: async () => (await import('./commands/consumer-reset.js')).consumerResetCommand,
  },
  'dlq list': {
    summary: 'list the dead letters of a consumer group',
    load: async () => (await import('./commands/dlq-list.js')).dlqListCommand,
  },
  'dlq resend': {
    summary: 'send dead letters again',
    load: async () => (await import('./commands/dlq-resend.js')).dlqResendCommand,
  },
  'transaction get': {
    summary: 'show what became of a transaction',
    load: async () => (await import('./commands/transaction-get.js')).transactionGetCommand,
  },
  'transaction list': {
    summary: 'list transactions without a decision',
    load: async () => (await import('./commands/transaction-list.js')).transactionListCommand,
  },
  'transaction resume': {
    summary: 'ask again about parked transactions',
    load: async () => (await import('./commands/transaction-resume.js')).transactionResumeCommand,
  },
  'message send': {
    summary: 'send one message, for trying',
    load: async () => (await import('./commands/message-send.js')).messageSendCommand,
  },
  'message get': {
    summary: 'show a message by its id',
    load: async () => (await import('./commands/message-get.js')).messageGetCommand,
  },
  'message query': {
    summary: 'find messages of a topic by key',
    load: async () => (await import('./commands/message-query.js')).messageQueryCommand,
  },
  'message list': {
    summary: 'show messages of a topic without consuming them',
    load: async () => (await import('./commands/message-list.js')).messageListCommand,
  },
  'message trace': {
    summary: 'show what happened to a message',
    load: async () => (await import('./commands/message-trace.js')).messageTraceCommand,
  },
  'cluster list': {
    summary: 'list broker groups, replicas and leaders',
    load: async () => (await import('./commands/cluster-list.js')).clusterListCommand,
  },
  'raft status': {
    summary: 'show term, leader and log position of every replica',
    load: async () => (await import('./commands/raft-status.js')).raftStatusCommand,
  },
  'raft transfer': {
    summary: 'hand the leadership of a group to another replica',
    load: async () => (await import('./commands/raft-transfer.js')).raftTransferCommand,
  },
  'bench produce': {
    summary: 'send load, with latency percentiles',
    load: async () => (await import('./commands/bench-produce.js')).benchProduceCommand,
  },
  'bench consume': {
    summary: 'receive and acknowledge as fast as possible',
    load: async () => (await import('./commands/bench-consume.js')).benchConsumeCommand,
  },
  'bench pipe': {
    summary: 'send and receive, with latency from send to receive',
    load: async () => (await import('./commands/bench-pipe.js')).benchPipeCommand,
  },
};

/** Commands that the launcher answers before this package is loaded. */
const LAUNCHED: Readonly<Record<string, string>> = {
  namesrv: 'run one NameServer in the foreground',
  broker: 'run one broker in the foreground',
  sim: 'run the deterministic simulator',
};

/**
 * The `raftmq` command.
 * @param argv the words behind `raftmq`
 * @returns the exit code: 0 done, 1 failed, 2 wrong usage, 70 an assertion failed
 */
export async function main(
  argv: readonly string[],
  environment: MainEnvironment = processEnvironment(),
): Promise<number> {
  const { output } = environment;
  try {
    const found = findCommand(argv);
    if (found === null) {
      output.data(overviewHelp(argv[0] === undefined || argv[0].startsWith('-') ? '' : argv[0]));
      return argv.length === 0 ? 2 : 0;
    }
    const command = await found.load();
    const parsed = parseCommandLine(command, found.words, environment.variables);
    if (parsed.help) {
      output.data(commandHelp(command));
      return 0;
    }
    return await command.run({
      positionals: parsed.positionals,
      options: parsed.options,
      output,
      variables: environment.variables,
      signal: environment.signal,
    });
  } catch (error) {
    return report(error, output);
  }
}

function processEnvironment(): MainEnvironment {
  const controller = new AbortController();
  let stops = 0;
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (++stops > 1) process.exit(1);
      controller.abort();
    });
  }
  return { variables: process.env, output: processOutput(), signal: controller.signal };
}

/** The command that `argv` names and the words behind it; null when help is asked for. */
function findCommand(argv: readonly string[]): { load: Loader; words: readonly string[] } | null {
  const [first = '', second = ''] = argv;
  if (first === '' || first === '--help' || first === '-h' || first === 'help') return null;
  const two = `${first} ${second}`;
  if (Object.hasOwn(COMMANDS, two)) return { load: COMMANDS[two]!.load, words: argv.slice(2) };
  if (Object.hasOwn(COMMANDS, first) && (second === '' || second.startsWith('-'))) {
    return { load: COMMANDS[first]!.load, words: argv.slice(1) };
  }
  const family = Object.keys(COMMANDS).filter((name) => name.startsWith(`${first} `));
  if (family.length > 0 && (second === '' || second === '--help' || second === '-h')) {
    if (second === '')
      throw new UsageError(`raftmq ${first} needs one of: ${family.map(tail).join(', ')}`);
    return null;
  }
  if (family.length > 0) {
    const near = nearest(second, family.map(tail));
    throw new UsageError(`unknown command "${two}"; did you mean "raftmq ${first} ${near}"?`);
  }
  if (Object.hasOwn(COMMANDS, first)) return { load: COMMANDS[first]!.load, words: argv.slice(1) };
  const words = [...Object.keys(COMMANDS).map(head), ...Object.keys(LAUNCHED)];
  throw new UsageError(
    `unknown command "${first}"; did you mean "raftmq ${nearest(first, words)}"?`,
  );
}

const head = (name: string): string => name.split(' ')[0]!;
const tail = (name: string): string => name.split(' ')[1]!;

function overviewHelp(family: string): string {
  const all = [
    ...Object.entries(COMMANDS).map(([name, command]) => [name, command.summary] as const),
    ...Object.entries(LAUNCHED),
  ];
  const rows = all.filter(([name]) => family === '' || family === 'help' || head(name) === family);
  const width = Math.max(...rows.map(([name]) => name.length));
  return [
    'raftmq COMMAND [flags]',
    '',
    ...rows.map(([name, summary]) => `  ${name.padEnd(width)}  ${summary}`),
    '',
    '`raftmq COMMAND --help` explains the flags of a command.',
    'Exit codes: 0 done, 1 failed, 2 wrong usage.',
  ].join('\n');
}

function report(error: unknown, output: Output): number {
  if (error instanceof UsageError) {
    output.note(`raftmq: ${error.message}`);
    output.note('`raftmq --help` lists the commands; --help behind a command explains its flags');
    return 2;
  }
  if (isMqError(error)) {
    output.note(`raftmq: ${error.code}: ${error.message}`);
    return error.code === 'CONFIG_INVALID' ? 2 : 1;
  }
  const assertion = (error as { name?: unknown } | null)?.name === 'AssertionFailure';
  const stack = (error as { stack?: unknown } | null)?.stack;
  output.note(`raftmq: ${assertion && typeof stack === 'string' ? stack : errorText(error)}`);
  return assertion ? 70 : 1;
}
