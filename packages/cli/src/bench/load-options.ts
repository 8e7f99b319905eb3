import { type OptionTable, type ParsedOptions, UsageError } from '../command.js';
import { CLIENT_OPTIONS } from '../connection.js';

/** Flags of all benchmarks. */
export const LOAD_OPTIONS: OptionTable = {
  ...CLIENT_OPTIONS,
  protocol: { value: 'NAME', doc: 'grpc', default: 'grpc' },
  duration: { value: 'TIME', doc: 'how long, such as 30s', default: '30s' },
  json: { doc: 'print the result as one line of JSON at the end' },
};

/** Flags of benchmarks that send. */
export const SEND_OPTIONS: OptionTable = {
  size: { value: 'BYTES', doc: 'body of a message', default: '1024' },
  concurrency: { value: 'N', doc: 'requests under way at the same time', default: '64' },
  batch: { value: 'N', doc: 'messages in one request', default: '1' },
  rate: {
    value: 'R',
    doc: 'messages per second, at fixed times; 0 = as fast as answers come',
    default: '0',
  },
};

/** What a benchmark was asked for. */
export interface LoadOptions {
  readonly durationMs: number;
  readonly sizeBytes: number;
  readonly concurrency: number;
  readonly batch: number;
  /** Messages per second; 0 = closed loop. */
  readonly rate: number;
}

/** @throws UsageError for a value that is out of range */
export function readLoadOptions(options: ParsedOptions, sizeBytesMin: number): LoadOptions {
  options.choice('protocol', ['grpc']);
  const load = {
    durationMs: options.durationMs('duration', 100, 24 * 3_600_000),
    sizeBytes: options.integer('size', sizeBytesMin, 4 * 1024 * 1024),
    concurrency: options.integer('concurrency', 1, 10_000),
    batch: options.integer('batch', 1, 4_096),
    rate: options.integer('rate', 0, 10_000_000),
  };
  if (load.batch * load.sizeBytes > 32 * 1024 * 1024) {
    throw new UsageError('--batch times --size is over 32 MiB; servers refuse such a request');
  }
  return load;
}
