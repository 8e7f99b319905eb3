/**
 * Order under fire: messages of many message groups go through an ordered consumer group whose members come and go,
 * while the leader is killed again and again. Every batch is checked here before it is acknowledged: a message whose
 * predecessor in its group was not handed out before is a broken order. At the end nothing may be missing.
 *
 *   npm run build && node .build/test/soak/fifo-order.js [--messages 1000000] [--groups 1000] [--consumers 8] [--queues 64]
 *     [--kill-every 10] [--restart-every 5]
 *
 * Consumers are processes of their own; every eighth end is a SIGKILL of the process, the others a clean goodbye of the
 * member. Ends with exit
 * code 0 only when the order held and nothing was lost.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { parseArgs } from 'node:util';
import { Producer, SimpleConsumer } from '@raftmq/client';
import { DevCluster } from '@raftmq/testkit';

const TOPIC = 'OrderSoak';
const GROUP = 'order-soak';
const RECEIVE_LOOPS = 2;
/** Every so many ends of a member one is a SIGKILL: what it held is out of reach until its invisible time is over. */
const HARD_END_EVERY = 8;
/** Messages of each group that are sent together: they share a request. */
const BURST = 16;
const INVISIBLE_MS = 10_000;

/** What a consumer was handed, in order: message group and sequence number, alternating. */
interface Report {
  readonly id: number;
  readonly handed: readonly number[];
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '1000000' },
    groups: { type: 'string', default: '1000' },
    consumers: { type: 'string', default: '8' },
    queues: { type: 'string', default: '64' },
    'kill-every': { type: 'string', default: '10' },
    'restart-every': { type: 'string', default: '5' },
    consume: { type: 'string' },
  },
});
const messages = Number(values.messages);
const groups = Number(values.groups);

/**
 * The consumer process: hands every batch to the checker, and acknowledges it when the checker has seen it. Told to leave,
 * the member says goodbye and a new one begins, with an id of its own.
 */
async function consume(endpoints: string): Promise<void> {
  const seen = new Map<number, () => void>();
  let ids = 0;
  let leaving = false;
  process.on('message', (message: number | 'leave') => {
    if (message === 'leave') leaving = true;
    else {
      seen.get(message)?.();
      seen.delete(message);
    }
  });
  process.on('disconnect', () => process.exit(1));
  const loop = async (consumer: SimpleConsumer): Promise<void> => {
    while (!leaving) {
      const batch = await consumer.receive(32, INVISIBLE_MS).catch(() => []);
      if (batch.length === 0) continue;
      const id = ids++;
      const handed = batch.flatMap(({ body }) => [body.readUInt32BE(0), body.readUInt32BE(4)]);
      await new Promise<void>((resolve) => {
        seen.set(id, resolve);
        process.send!({ id, handed } satisfies Report, () => undefined);
      });
      // An ack that fails leaves the batch to be handed out again, which the checker allows.
      await consumer.ackAll(batch).catch(() => undefined);
    }
  };
  for (;;) {
    leaving = false;
    const consumer = new SimpleConsumer({
      endpoints,
      group: GROUP,
      subscriptions: { [TOPIC]: '*' },
      awaitMs: 2_000,
    });
    await consumer.start();
    process.send!('ready', () => undefined);
    await Promise.all(Array.from({ length: RECEIVE_LOOPS }, () => loop(consumer)));
    await consumer.close();
  }
}

/** Knows how far each message group has come. */
class Checker {
  /** Newest sequence number handed out, by group. */
  readonly #newest = new Int32Array(groups).fill(-1);
  readonly broken: string[] = [];
  handedOut = 0;
  again = 0;

  see(handed: readonly number[]): void {
    for (let i = 0; i < handed.length; i += 2) {
      const group = handed[i]!;
      const sequence = handed[i + 1]!;
      const newest = this.#newest[group]!;
      this.handedOut++;
      if (sequence <= newest) this.again++;
      else if (sequence === newest + 1) this.#newest[group] = sequence;
      else this.broken.push(`group ${group}: ${sequence} after ${newest}`);
    }
  }

  /** Messages that were handed out at least once, without a gap before them. */
  get done(): number {
    let done = 0;
    for (const newest of this.#newest) done += newest + 1;
    return done;
  }
}

/** Members of the consumer group that never live long, in processes of their own. */
class Members {
  readonly #endpoints: () => string;
  readonly #checker: Checker;
  /** Working members, oldest first. */
  readonly #ready: ChildProcess[] = [];
  readonly #children = new Set<ChildProcess>();
  #turn = 0;
  #stopped = false;
  killed = 0;
  left = 0;

  constructor(count: number, endpoints: () => string, checker: Checker) {
    this.#endpoints = endpoints;
    this.#checker = checker;
    for (let i = 0; i < count; i++) this.#start();
  }

  /** Ends the oldest member, now and then the hard way; another takes its place. */
  replaceOne(): void {
    const oldest = this.#ready.shift();
    if (oldest === undefined) return;
    const hard = this.#turn++ % HARD_END_EVERY === 0;
    if (hard) this.killed++;
    else this.left++;
    if (hard) oldest.kill('SIGKILL');
    else oldest.send('leave', () => undefined);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    const ends = [...this.#children].map(
      (child) =>
        new Promise<void>((resolve) => {
          child.once('exit', () => resolve());
          child.kill('SIGKILL');
        }),
    );
    await Promise.all(ends);
  }

  #start(): void {
    const child = fork(__filename, ['--consume', this.#endpoints()]);
    this.#children.add(child);
    child.on('message', (report: Report | 'ready') => {
      if (report === 'ready') {
        this.#ready.push(child);
        return;
      }
      this.#checker.see(report.handed);
      // A member that was killed meanwhile gets no answer.
      if (child.connected) child.send(report.id, () => undefined);
    });
    child.on('exit', () => {
      this.#children.delete(child);
      const at = this.#ready.indexOf(child);
      if (at >= 0) this.#ready.splice(at, 1);
      if (!this.#stopped) this.#start();
    });
  }
}

async function produce(producer: Producer, stopped: () => boolean): Promise<void> {
  const padding = Buffer.alloc(56, 1);
  const sequences = new Int32Array(groups);
  let sent = 0;
  while (sent < messages && !stopped()) {
    const sends: Promise<unknown>[] = [];
    // The producer keeps the messages of a group in the order of these calls, however many are under way.
    for (let i = 0; i < BURST * groups && sent < messages; i++, sent++) {
      const group = sent % groups;
      const head = Buffer.alloc(8);
      head.writeUInt32BE(group, 0);
      head.writeUInt32BE(sequences[group]!++, 4);
      const body = Buffer.concat([head, padding]);
      sends.push(producer.send({ topic: TOPIC, messageGroup: `group-${group}`, body }));
    }
    await Promise.all(sends);
  }
}

async function check(): Promise<void> {
  const cluster = await DevCluster.start();
  const startedAtMs = performance.now();
  const seconds = (): string => ((performance.now() - startedAtMs) / 1_000).toFixed(0);
  const checker = new Checker();
  const producer = new Producer({
    endpoints: cluster.endpoints,
    topics: [TOPIC],
    attemptsMax: 1_000,
    batchFifo: true,
    inFlightMax: 64,
  });
  let members: Members | null = null;
  let leaderKills = 0;
  let stopped = false;
  const timers: NodeJS.Timeout[] = [];
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => (stopped = true));
  try {
    await cluster.admin('topic', 'create', TOPIC, '--type', 'FIFO', '--queues', values.queues);
    await cluster.admin('group', 'create', GROUP, '--fifo', '--max-attempts', '1000');
    await producer.start();
    members = new Members(Number(values.consumers), () => cluster.endpoints, checker);
    const killEveryMs = Number(values['kill-every']) * 1_000;
    if (killEveryMs > 0) {
      const kill = async (): Promise<void> => {
        const leader = await cluster.leader().catch(() => null);
        if (leader === null || stopped) return;
        await cluster.kill(leader).then(
          () => leaderKills++,
          () => undefined,
        );
      };
      timers.push(setInterval(() => void kill(), killEveryMs));
    }
    const restartEveryMs = (Number(values['restart-every']) * 1_000) / Number(values.consumers);
    timers.push(setInterval(() => members!.replaceOne(), restartEveryMs));
    timers.push(
      setInterval(() => {
        print(
          `${seconds()} s: ${checker.done} of ${messages} done, ${checker.again} handed out again, ` +
            `${leaderKills} leader kills, ${members!.killed} consumers killed, ${members!.left} left, ${checker.broken.length} broken`,
        );
      }, 10_000),
    );
    await produce(producer, () => stopped);
    print(`${seconds()} s: all ${messages} messages sent and acknowledged`);
    while (checker.done < messages && checker.broken.length === 0 && !stopped) {
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  } finally {
    stopped = true;
    for (const timer of timers) clearInterval(timer);
    await members?.stop();
    await producer.close().catch(() => undefined);
    await cluster.stop();
  }
  const elapsed = seconds();
  print(
    `${messages} messages of ${groups} groups in ${elapsed} s (${Math.round(messages / Number(elapsed))}/s): ` +
      `${checker.done} done in order, ${checker.handedOut - checker.done} handed out again, ${leaderKills} leader kills, ` +
      `${members?.killed} consumers killed, ${members?.left} left; order broken ${checker.broken.length} times, ${messages - checker.done} lost`,
  );
  for (const line of checker.broken.slice(0, 10)) print(`  ${line}`);
  process.exitCode = checker.done === messages && checker.broken.length === 0 ? 0 : 1;
}

// A member that finds no broker ends; its successor tries again.
void (values.consume === undefined
  ? check()
  : consume(values.consume).catch(() => process.exit(1)));
