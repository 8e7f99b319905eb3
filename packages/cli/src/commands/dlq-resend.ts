import { type AdminClient, type DeadLetterInfo } from '@raftmq/client';
import { type Command, JSON_OPTION, type ParsedOptions, UsageError } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';
import { type Output } from '../output.js';
import { FILTER_OPTION, letterFilter } from './dlq-filter.js';

/** Letters sent in one call, unless the rate asks for less. */
const BATCH_MAX = 64;
const PROGRESS_EVERY_MS = 1_000;
/** Failures told one by one. */
const FAILURES_SHOWN = 10;

/** `raftmq dlq resend`. */
export const dlqResendCommand: Command = {
  name: 'dlq resend',
  summary: 'Sends dead letters again, each to the topic that it came from, once.',
  positionals: ['GROUP'],
  options: {
    id: { value: 'ID', doc: 'the message with this id; may be repeated', multiple: true },
    ...FILTER_OPTION,
    all: { doc: 'all of them' },
    rate: { value: 'N', doc: 'at most so many messages a second' },
    'dry-run': { doc: 'only count what would be sent' },
    ...ADMIN_OPTIONS,
    ...JSON_OPTION,
  },
  notes: [
    'All consumer groups of that topic get the message, not only the one that gave it up.',
    'What was sent again is marked: a second run sends what came since, and what failed.',
    'Example: raftmq dlq resend billing --filter reason="attempts used up" --rate 100',
  ],
  run: async ({ positionals, options, output, signal }) => {
    const group = positionals[0]!;
    const wanted = selection(options);
    const rate = options.has('rate') ? options.integer('rate', 1, 1_000_000) : Infinity;
    const counts = await withAdmin(options, (admin) => {
      const resend = new Resend(admin, group, rate, options.flag('dry-run'), output, signal);
      return resend.run(wanted);
    });
    if (options.flag('json')) output.data(JSON.stringify({ group, ...counts }));
    else {
      const { sent, sentBefore, failed } = counts;
      output.data(`${sent} sent again, ${sentBefore} had been sent before, ${failed} failed`);
    }
    if (counts.matched === 0) output.note(`no dead letter of group ${group} fits`);
    return counts.failed > 0 || signal.aborted ? 1 : 0;
  },
};

function selection(options: ParsedOptions): (letter: DeadLetterInfo) => boolean {
  const ids = new Set(options.list('id'));
  const filters = options.list('filter').length;
  const ways = Number(ids.size > 0) + Number(filters > 0) + Number(options.flag('all'));
  if (ways !== 1) throw new UsageError('say which: --id ID, --filter KEY=VALUE, or --all');
  if (ids.size > 0) return (letter) => ids.has(letter.messageId);
  return letterFilter(options);
}

interface ResendCounts {
  matched: number;
  sent: number;
  sentBefore: number;
  failed: number;
}

/** One run through the letters of a group: collects small batches, sends them at the rate, and says how far it is. */
class Resend {
  readonly #admin: AdminClient;
  readonly #group: string;
  readonly #rate: number;
  readonly #dryRun: boolean;
  readonly #output: Output;
  readonly #signal: AbortSignal;
  readonly #startedAtMs = performance.now();
  readonly #counts: ResendCounts = { matched: 0, sent: 0, sentBefore: 0, failed: 0 };
  #toldAtMs = performance.now();
  #paced = 0;

  constructor(
    admin: AdminClient,
    group: string,
    rate: number,
    dryRun: boolean,
    output: Output,
    signal: AbortSignal,
  ) {
    this.#admin = admin;
    this.#group = group;
    this.#rate = rate;
    this.#dryRun = dryRun;
    this.#output = output;
    this.#signal = signal;
  }

  async run(wanted: (letter: DeadLetterInfo) => boolean): Promise<ResendCounts> {
    const batchMax = Math.max(1, Math.min(BATCH_MAX, Math.floor(this.#rate / 10)));
    let batch: DeadLetterInfo[] = [];
    for await (const letter of this.#admin.deadLetters(this.#group)) {
      if (this.#signal.aborted) break;
      if (!wanted(letter)) continue;
      this.#counts.matched++;
      if (letter.resent) {
        this.#counts.sentBefore++;
        continue;
      }
      if (
        batch.length === batchMax ||
        (batch[0]?.brokerGroup ?? letter.brokerGroup) !== letter.brokerGroup
      ) {
        await this.#send(batch);
        batch = [];
      }
      batch.push(letter);
    }
    if (batch.length > 0 && !this.#signal.aborted) await this.#send(batch);
    return this.#counts;
  }

  async #send(batch: readonly DeadLetterInfo[]): Promise<void> {
    await this.#pace(batch.length);
    const counts = this.#counts;
    if (this.#dryRun) counts.sent += batch.length;
    else {
      const outcomes = await this.#admin.resendDeadLetters(
        batch[0]!.brokerGroup,
        this.#group,
        batch.map((letter) => letter.queueOffset),
      );
      outcomes.forEach(({ error, sent }, i) => {
        if (error === null && sent) counts.sent++;
        else if (error === null) counts.sentBefore++;
        else if (++counts.failed <= FAILURES_SHOWN)
          this.#output.note(`${batch[i]!.messageId}: ${error.code}: ${error.message}`);
      });
    }
    const nowMs = performance.now();
    if (nowMs - this.#toldAtMs < PROGRESS_EVERY_MS) return;
    this.#toldAtMs = nowMs;
    this.#output.note(`${counts.sent} sent again so far, ${counts.failed} failed`);
  }

  /** Waits until the rate allows so many more. */
  async #pace(count: number): Promise<void> {
    const dueMs = this.#startedAtMs + (this.#paced / this.#rate) * 1000;
    this.#paced += count;
    const waitMs = dueMs - performance.now();
    if (waitMs <= 0) return;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#signal.removeEventListener('abort', end);
        resolve();
      };
      const timer = setTimeout(end, waitMs);
      this.#signal.addEventListener('abort', end, { once: true });
    });
  }
}
