// What the programs here share: the official SDK, arguments, the halt in the middle, one JSON line as the result.
//
// Every program takes --endpoints, --topic and --group, prints its facts as one JSON line and judges nothing: the tests
// do (harness/scenarios.ts). With --halt it prints {"mark":"middle"} half way and goes on when a line arrives on its
// standard input: that is when the test has killed the leader.
const sdk = require('rocketmq-client-nodejs');
const readline = require('node:readline');

const lines = [];
const keep =
  (level) =>
  (...args) => {
    lines.push(`${level} ${args.map(String).join(' ')}`);
    if (lines.length > 200) lines.shift();
  };
const logger = { debug() {}, info() {}, warn: keep('warn'), error: keep('error') };

const argument = (name, fallback) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : process.argv[at + 1];
};

const endpoints = argument('endpoints', '127.0.0.1:8081');
const topic = argument('topic', 'Conformance');
const group = argument('group', `conformance-${Date.now()}`);
const halt = process.argv.includes('--halt');
/** Longest wait for what must come, in ms. */
const PATIENCE_MS = Number(argument('patience', '60000'));
/** How long a receive waits for messages; Apache RocketMQ's proxy refuses less than 2 s with the default timeout of 3 s. */
const AWAIT_MS = Number(argument('await', '1000'));
const INVALID_RECEIPT_HANDLE = 40013;
const REQUEST_TIMEOUT = 40800;
const NOT_IMPLEMENTED = 50100;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const range = (from, end) => Array.from({ length: end - from }, (_, i) => from + i);
const body = (view) => view.body.toString('utf8');

/** Waits until `done()` holds; says whether it did within `timeoutMs`. */
async function until(done, timeoutMs = PATIENCE_MS) {
  const endsAt = Date.now() + timeoutMs;
  while (!done()) {
    if (Date.now() > endsAt) return false;
    await sleep(20);
  }
  return true;
}

/** Whether it is of no use to try again: the server answered that the request itself is wrong. */
const isFinal = ({ code }) =>
  (code >= 40000 && code < 42900 && code !== REQUEST_TIMEOUT) || code === NOT_IMPLEMENTED;

/** Does `operation` until it succeeds, as an application would. `count(error)` hears of each failure. */
async function persist(operation, count = () => {}) {
  const endsAt = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await operation();
    } catch (error) {
      if (isFinal(error) || Date.now() > endsAt) throw error;
      count(error);
      await sleep(100);
    }
  }
}

/** Acknowledges until it is answered; false when the receipt handle is no longer valid: the message comes again. */
async function ack(consumer, view) {
  try {
    await persist(() => consumer.ack(view));
    return true;
  } catch (error) {
    if (error.code === INVALID_RECEIPT_HANDLE) return false;
    throw error;
  }
}

/** Half way: lets the test kill a leader before the program goes on. */
async function middle() {
  if (!halt) return;
  const input = readline.createInterface({ input: process.stdin });
  const answered = new Promise((resolve) => input.once('line', resolve));
  console.log(JSON.stringify({ mark: 'middle' }));
  await answered;
  input.close();
}

/** Starts what `make` makes. The one broker that a client knows at its start may just be down. */
const start = (make) =>
  persist(async () => {
    const client = make();
    await client.startup();
    return client;
  });

const startProducer = (options = {}) =>
  start(() => new sdk.Producer({ endpoints, topics: [topic], logger, ...options }));

const startSimple = (options = {}) =>
  start(
    () =>
      new sdk.SimpleConsumer({
        endpoints,
        consumerGroup: group,
        subscriptions: new Map([[topic, '*']]),
        awaitDuration: AWAIT_MS,
        logger,
        ...options,
      }),
  );

/** `consume(view)` returns whether it succeeded, or a promise of it. */
const startPush = (consume, options = {}) =>
  start(
    () =>
      new sdk.PushConsumer({
        endpoints,
        consumerGroup: group,
        subscriptions: new Map([[topic, '*']]),
        messageListener: {
          consume: async (view) =>
            (await consume(view)) ? sdk.ConsumeResult.SUCCESS : sdk.ConsumeResult.FAILURE,
        },
        logger,
        ...options,
      }),
  );

/** Receives and hands each message to `take`, acknowledging it unless `take` returns false, until `done()` holds. */
async function receiveUntil(consumer, done, take, options = {}) {
  const { timeoutMs = PATIENCE_MS, batch = 32, invisibleMs = 15_000 } = options;
  const endsAt = Date.now() + timeoutMs;
  while (!done() && Date.now() < endsAt) {
    let views;
    try {
      views = await consumer.receive(batch, invisibleMs);
    } catch {
      await sleep(100);
      continue;
    }
    const acks = views.map(async (view) => (await take(view)) !== false && ack(consumer, view));
    await Promise.all(acks);
  }
}

/** Receives once, successfully: what is left. */
const receiveOnce = (consumer, batch = 32, invisibleMs = 15_000) =>
  persist(() => consumer.receive(batch, invisibleMs));

/** Sends and, where the SDK gives up, sends again; `message` is made anew for each try. */
const send = (producer, message, count) => persist(() => producer.send(message()), count);

/** Runs `program`, prints its facts as one JSON line, ends the process with 0 or 1. */
function run(program) {
  program().then(
    (facts) => {
      process.stdout.write(`${JSON.stringify(facts)}\n`, () => process.exit(0));
    },
    (error) => {
      console.error(error && error.stack ? error.stack : String(error));
      if (error && error.cause) console.error('cause:', error.cause);
      for (const line of lines.slice(-20)) console.error(line);
      process.exit(1);
    },
  );
}

module.exports = {
  ...sdk,
  FilterType: { TAG: 1, SQL: 2 },
  TransactionResolution: { UNKNOWN: 0, COMMIT: 1, ROLLBACK: 2 },
  INVALID_RECEIPT_HANDLE,
  PATIENCE_MS,
  logger,
  argument,
  endpoints,
  topic,
  group,
  halt,
  sleep,
  range,
  body,
  until,
  persist,
  ack,
  middle,
  startProducer,
  startSimple,
  startPush,
  receiveUntil,
  receiveOnce,
  send,
  run,
};
