import { pino } from 'pino';

/** Values that travel with a log line. Never bodies, credentials or keys. */
export type LogFields = Readonly<Record<string, unknown>>;

/**
 * Structured log: a constant message, values in fields.
 * fatal = we exit, error = a human must act, warn = degraded but healing, info = state changes, debug = per request.
 */
export interface Logger {
  fatal(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  debug(fields: LogFields, message: string): void;
  child(fields: LogFields): Logger;
}

export type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'silent';

/** A logger that writes JSON lines to stderr, so that stdout stays for data. */
export function createLogger(options: {
  readonly level: LogLevel;
  readonly fields?: LogFields;
}): Logger {
  return pino(
    { level: options.level, base: { ...options.fields } },
    pino.destination({ fd: 2, sync: true }),
  );
}

/** Drops everything: for tests and for the simulator. */
export const silentLogger: Logger = {
  fatal: () => undefined,
  error: () => undefined,
  warn: () => undefined,
  info: () => undefined,
  debug: () => undefined,
  child: () => silentLogger,
};
