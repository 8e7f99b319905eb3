import { errorText } from '@raftmq/base';
import { MessageIdGenerator } from '@raftmq/client/internal';
import { LOAD_OPTIONS, readLoadOptions, SEND_OPTIONS } from '../bench/load-options.js';
import { runLoad } from '../bench/pacer.js';
import { LoadRecorder, printResult } from '../bench/recorder.js';
import { SendTemplate } from '../bench/send-template.js';
import { BenchSender } from '../bench/sender.js';
import { everySecond, openTarget } from '../bench/target.js';
import { type Command } from '../command.js';

const ID_PREFIX_LENGTH = 26;

/** The fixed part of the message ids of one run. */
export function idPrefix(): string {
  return new MessageIdGenerator().next().slice(0, ID_PREFIX_LENGTH);
}

/** `raftmq bench produce`. */
export const benchProduceCommand: Command = {
  name: 'bench produce',
  summary: 'Sends load and measures latency from the intended send time to the answer.',
  positionals: [],
  options: {
    topic: { value: 'NAME', doc: 'topic; created when it is missing', default: 'bench' },
    ...SEND_OPTIONS,
    ...LOAD_OPTIONS,
  },
  notes: [
    'With --rate, start times are fixed in advance: a slow server shows in the latency, not in a lower load.',
    'A failed request is counted, not repeated.',
  ],
  run: async ({ options, output, signal }) => {
    const load = readLoadOptions(options, 1);
    const target = await openTarget(options, output, options.text('topic'), '');
    const recorder = new LoadRecorder(load.sizeBytes);
    const template = new SendTemplate(target.topic, load.batch, load.sizeBytes, idPrefix());
    const sender = new BenchSender(target, template);
    const startMs = performance.now();
    const stop = everySecond((elapsedMs, intervalMs) => {
      output.note(recorder.progress(elapsedMs, intervalMs));
    });
    const notStarted = await runLoad(
      {
        concurrency: load.concurrency,
        requestsPerSecond: load.rate / load.batch,
        durationMs: load.durationMs,
        signal,
      },
      async (intendedMs) => {
        try {
          await sender.send(performance.now());
          recorder.succeeded(load.batch, performance.now() - intendedMs);
        } catch (error) {
          recorder.failedWith(load.batch, errorText(error));
        }
      },
    );
    stop();
    const elapsedMs = performance.now() - startMs;
    await target.core.stop();
    if (notStarted > 0) {
      output.note(
        `${notStarted} requests were due but not started: raise --concurrency or lower --rate`,
      );
    }
    return printResult(output, recorder, elapsedMs, options.flag('json'));
  },
};
