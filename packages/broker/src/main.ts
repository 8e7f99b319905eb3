import {
  createLogger,
  errorText,
  isMqError,
  readCommandLine,
  type CommandLine,
  type Logger,
} from '@raftmq/base';
import { Broker } from './broker.js';
import { HeapKeeper } from './ops/heap-keeper.js';
import { brokerSettings, checkBrokerSettings, type BrokerSettings } from './settings.js';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const EXIT_ASSERTION = 70;
/** fdatasync and RocksDB share these threads; with the runtime's 4 a slow checkpoint would hold up the log. */
const THREADS = '8';

/**
 * Runs one replica of a broker group in the foreground until SIGTERM or SIGINT, which stop it cleanly; a second signal
 * ends the process at once. Prints one JSON line on stdout when it serves:
 * `{"ready":true,"grpcPort":8081,"metricsPort":5557,"pid":1}`.
 * @param argv the words behind `raftmq broker`
 * @returns the exit code: 0 stopped or printed, 1 cannot serve, 2 wrong usage. A failed disk ends the process with 1, a
 *   failed assertion with 70.
 */
export async function main(argv: readonly string[]): Promise<number> {
  // Takes effect because nothing has used the thread pool yet.
  process.env['UV_THREADPOOL_SIZE'] ??= THREADS;
  let command: CommandLine<typeof brokerSettings>;
  try {
    command = readCommandLine('raftmq broker', brokerSettings, argv, process.env);
    if (command.kind === 'run') checkBrokerSettings(command.settings);
  } catch (error) {
    if (!isMqError(error)) throw error;
    process.stderr.write(`raftmq broker: ${error.message}\n`);
    return EXIT_USAGE;
  }
  if (command.kind === 'print') {
    process.stdout.write(command.text);
    return 0;
  }
  return run(command.settings);
}

async function run(settings: BrokerSettings): Promise<number> {
  const { group, nodeId, logLevel } = settings;
  const logger = createLogger({ level: logLevel, fields: { groupId: group, nodeId } });
  const dieOf = (what: string) => (error: unknown) => die(logger, what, error);
  process.on('uncaughtException', dieOf('uncaught exception'));
  process.on('unhandledRejection', dieOf('unhandled rejection'));
  const signalled = firstSignal();
  HeapKeeper.start();
  let broker: Broker;
  try {
    broker = await Broker.start({ settings, logger, onFatal: dieOf('the replica cannot go on') });
  } catch (error) {
    process.stderr.write(`raftmq broker: ${errorText(error)}\n`);
    if (!isMqError(error)) logger.error({ stack: (error as Error).stack }, 'start failed');
    return EXIT_FAILED;
  }
  const { grpcPort, metricsPort } = broker;
  logger.info({ grpcPort, metricsPort, address: broker.grpcAddress }, 'serving');
  const ready = { ready: true, grpcPort, metricsPort, pid: process.pid };
  process.stdout.write(`${JSON.stringify(ready)}\n`);
  const signal = await signalled;
  logger.info({ signal }, 'stopping');
  await broker.stop();
  logger.info({}, 'stopped');
  return 0;
}

/**
 * Ends the process where it stands. Nothing acknowledged depends on a clean end, and after a failed disk or assertion
 * nothing more may be acknowledged.
 */
function die(logger: Logger, what: string, error: unknown): void {
  const stack = error instanceof Error ? error.stack : undefined;
  logger.fatal({ error: errorText(error), stack }, what);
  const assertion =
    typeof error === 'object' &&
    error !== null &&
    (error as { name?: unknown }).name === 'AssertionFailure';
  process.exit(assertion ? EXIT_ASSERTION : EXIT_FAILED);
}

/** Resolves at the first SIGTERM or SIGINT; the second one ends the process. */
function firstSignal(): Promise<string> {
  return new Promise((resolve) => {
    let seen = false;
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        if (seen) process.exit(EXIT_FAILED);
        seen = true;
        resolve(signal);
      });
    }
  });
}

if (process.argv[1] === __filename) {
  void main(process.argv.slice(2)).then((code) => process.exit(code));
}
