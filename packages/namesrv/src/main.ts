import {
  createLogger,
  errorText,
  isMqError,
  readCommandLine,
  type CommandLine,
} from '@raftmq/base';
import { Namesrv } from './namesrv.js';
import { namesrvSettings } from './settings.js';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

/**
 * Runs a NameServer in the foreground until SIGTERM or SIGINT; a second signal ends the process at once. Prints one JSON
 * line on stdout when it serves: `{"ready":true,"port":9876,"metricsPort":5557,"pid":1}`.
 * @param argv the words behind `raftmq namesrv`
 * @returns the exit code: 0 stopped or printed, 1 cannot serve, 2 wrong usage
 */
export async function main(argv: readonly string[]): Promise<number> {
  let command: CommandLine<typeof namesrvSettings>;
  try {
    command = readCommandLine('raftmq namesrv', namesrvSettings, argv, process.env);
  } catch (error) {
    if (!isMqError(error)) throw error;
    process.stderr.write(`raftmq namesrv: ${error.message}\n`);
    return EXIT_USAGE;
  }
  if (command.kind === 'print') {
    process.stdout.write(command.text);
    return 0;
  }
  const { settings } = command;
  const logger = createLogger({ level: settings.logLevel, fields: { role: 'namesrv' } });
  const namesrv = new Namesrv(settings, logger);
  const signalled = firstSignal();
  try {
    await namesrv.start();
  } catch (error) {
    process.stderr.write(`raftmq namesrv: ${errorText(error)}\n`);
    return EXIT_FAILED;
  }
  const { port, metricsPort } = namesrv;
  process.stdout.write(`${JSON.stringify({ ready: true, port, metricsPort, pid: process.pid })}\n`);
  const signal = await signalled;
  logger.info({ signal }, 'stopping');
  await namesrv.stop();
  return 0;
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
