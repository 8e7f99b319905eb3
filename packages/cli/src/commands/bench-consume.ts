import { errorText } from '@raftmq/base';
import { LOAD_OPTIONS } from '../bench/load-options.js';
import { BenchReceiver, RECEIVE_BATCH_MAX } from '../bench/receiver.js';
import { LoadRecorder, printResult } from '../bench/recorder.js';
import { everySecond, openTarget } from '../bench/target.js';
import { type Command } from '../command.js';

const POLL_MS = 1_000;

/** `raftmq bench consume`. */
export const benchConsumeCommand: Command = {
  name: 'bench consume',
  summary:
    'Receives and acknowledges as fast as possible; latency is that of receive and acknowledge.',
  positionals: [],
  options: {
    topic: { value: 'NAME', doc: 'topic; created when it is missing', default: 'bench' },
    group: { value: 'NAME', doc: 'consumer group', default: 'bench' },
    concurrency: { value: 'N', doc: 'polls under way at the same time', default: '8' },
    batch: { value: 'N', doc: `messages in one poll, 1 .. ${RECEIVE_BATCH_MAX}`, default: '32' },
    ...LOAD_OPTIONS,
  },
  notes: [
    'A poll without messages counts for nothing. The size in the result is that of the bodies.',
  ],
  run: async ({ options, output, signal }) => {
    options.choice('protocol', ['grpc']);
    const durationMs = options.durationMs('duration', 100, 24 * 3_600_000);
    const concurrency = options.integer('concurrency', 1, 1_000);
    const batch = options.integer('batch', 1, RECEIVE_BATCH_MAX);
    const group = options.text('group');
    const target = await openTarget(options, output, options.text('topic'), group);
    const receiver = new BenchReceiver(target, group, batch, POLL_MS);
    const recorder = new LoadRecorder(0);
    const over = new AbortController();
    const end = (): void => over.abort();
    signal.addEventListener('abort', end, { once: true });
    const timer = setTimeout(end, durationMs);
    const startMs = performance.now();
    const stop = everySecond((elapsedMs, intervalMs) => {
      output.note(recorder.progress(elapsedMs, intervalMs));
    });
    let bodyBytes = 0;
    const work = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const beginMs = performance.now();
        try {
          const received = await receiver.receive(over.signal);
          if (received.messages.length === 0) continue;
          const acked = await receiver.ack(received);
          recorder.succeeded(acked, performance.now() - beginMs);
          for (const message of received.messages) bodyBytes += message.body.length;
          const refused = received.messages.length - acked;
          if (refused > 0) recorder.failedWith(refused, 'not acknowledged');
        } catch (error) {
          if (!over.signal.aborted) recorder.failedWith(1, errorText(error));
        }
      }
    };
    await Promise.all(Array.from({ length: concurrency }, work));
    stop();
    clearTimeout(timer);
    signal.removeEventListener('abort', end);
    const elapsedMs = performance.now() - startMs;
    await target.core.stop();
    recorder.sizeBytes = recorder.ok === 0 ? 0 : bodyBytes / recorder.ok;
    return printResult(output, recorder, elapsedMs, options.flag('json'));
  },
};
