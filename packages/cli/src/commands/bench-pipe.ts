import { errorText } from '@raftmq/base';
import { type ReceivedMessage } from '@raftmq/protocol';
import {
  LOAD_OPTIONS,
  readLoadOptions,
  SEND_OPTIONS,
  type LoadOptions,
} from '../bench/load-options.js';
import { runLoad } from '../bench/pacer.js';
import { BenchReceiver, RECEIVE_BATCH_MAX } from '../bench/receiver.js';
import { LoadRecorder, printResult } from '../bench/recorder.js';
import { SendTemplate, STAMP_BYTES } from '../bench/send-template.js';
import { BenchSender } from '../bench/sender.js';
import { everySecond, openTarget } from '../bench/target.js';
import { type Command, type CommandContext } from '../command.js';
import { idPrefix } from './bench-produce.js';

const POLL_MS = 1_000;
/** How long to wait for the last messages after the last send. */
const TAIL_MS = 10_000;
const TAIL_POLL_MS = 20;

/** `raftmq bench pipe`. */
export const benchPipeCommand: Command = {
  name: 'bench pipe',
  summary: 'Sends and receives; latency is from the intended send time to the receipt.',
  positionals: [],
  options: {
    topic: { value: 'NAME', doc: 'topic; created when it is missing', default: 'bench-pipe' },
    group: { value: 'NAME', doc: 'consumer group', default: 'bench-pipe' },
    consumers: { value: 'N', doc: 'polls under way at the same time', default: '4' },
    ...SEND_OPTIONS,
    ...LOAD_OPTIONS,
  },
  notes: ['Messages of other runs in the topic are acknowledged and not counted.'],
  run: (context) => runPipe(context, readLoadOptions(context.options, STAMP_BYTES)),
};

async function runPipe(context: CommandContext, load: LoadOptions): Promise<number> {
  const { options, output, signal } = context;
  const group = options.text('group');
  const consumers = options.integer('consumers', 1, 1_000);
  const topic = options.text('topic');
  const sending = await openTarget(options, output, topic, '');
  const receiving = await openTarget(options, output, topic, group);
  const recorder = new LoadRecorder(load.sizeBytes);
  const template = new SendTemplate(topic, load.batch, load.sizeBytes, idPrefix());
  const receiver = new BenchReceiver(receiving, group, RECEIVE_BATCH_MAX, POLL_MS);
  const over = new AbortController();
  const seen = (message: ReceivedMessage, nowMs: number): void => {
    const { body } = message;
    if (body.length < STAMP_BYTES || template.runId.compare(body, 0, 8) !== 0) return;
    recorder.succeeded(1, nowMs - body.readDoubleBE(8));
  };
  const consume = async (): Promise<void> => {
    while (!over.signal.aborted) {
      try {
        const received = await receiver.receive(over.signal);
        const nowMs = performance.now();
        for (const message of received.messages) seen(message, nowMs);
        await receiver.ack(received);
      } catch (error) {
        if (!over.signal.aborted) output.note(`receive failed: ${errorText(error)}`);
      }
    }
  };
  const consuming = Promise.all(Array.from({ length: consumers }, consume));
  const sender = new BenchSender(sending, template);
  let accepted = 0;
  const startMs = performance.now();
  const stop = everySecond((elapsedMs, intervalMs) => {
    output.note(recorder.progress(elapsedMs, intervalMs));
  });
  await runLoad(
    {
      concurrency: load.concurrency,
      requestsPerSecond: load.rate / load.batch,
      durationMs: load.durationMs,
      signal,
    },
    async (intendedMs) => {
      try {
        await sender.send(intendedMs);
        accepted += load.batch;
      } catch (error) {
        recorder.failedWith(load.batch, errorText(error));
      }
    },
  );
  const tailEndsAt = performance.now() + TAIL_MS;
  while (recorder.ok < accepted && performance.now() < tailEndsAt && !signal.aborted) {
    await new Promise((resolve) => setTimeout(resolve, TAIL_POLL_MS));
  }
  const elapsedMs = performance.now() - startMs;
  stop();
  over.abort();
  await consuming;
  await Promise.all([sending.core.stop(), receiving.core.stop()]);
  if (recorder.ok < accepted) {
    recorder.failedWith(accepted - recorder.ok, 'sent but not received in time');
  }
  return printResult(output, recorder, elapsedMs, options.flag('json'));
}
