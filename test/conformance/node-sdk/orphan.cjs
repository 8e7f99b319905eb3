// Half messages of a producer process that is killed before it decides: another producer of the topic is asked, leaves
// its first answer open, then commits every second one. With --role orphan this is the process that is killed.
const { spawn } = require('node:child_process');
const {
  TransactionResolution,
  argument,
  endpoints,
  topic,
  middle,
  range,
  receiveUntil,
  run,
  startProducer,
  startSimple,
  until,
} = require('./sdk.cjs');

const count = Number(argument('count', '6'));

async function orphan() {
  const checker = { check: async () => TransactionResolution.UNKNOWN };
  const producer = await startProducer({ checker });
  for (const i of range(0, count)) {
    const message = {
      topic,
      properties: new Map([['n', String(i)]]),
      body: Buffer.from(`half ${i}`),
    };
    await producer.send(message, producer.beginTransaction());
  }
  console.log('sent');
  // Killed now; gone with its parent at the latest.
  process.stdin.resume();
  await new Promise((resolve) => process.stdin.on('end', resolve));
}

/** Runs this program as the orphan until its half messages are sent, then kills it. */
async function killedProducer() {
  const args = ['--role', 'orphan', '--endpoints', endpoints, '--topic', topic];
  const child = spawn(process.execPath, [__filename, ...args, '--count', String(count)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let output = '';
  let ended = false;
  child.stdout.on('data', (data) => (output += data));
  child.on('exit', () => (ended = true));
  await until(() => output.includes('sent') || ended);
  child.kill('SIGKILL');
  await until(() => ended);
  return output.includes('sent');
}

run(async () => {
  if (argument('role', '') === 'orphan') return orphan();
  const halves = (await killedProducer()) ? count : 0;
  if (halves === 0) return { count, halves, received: [], asked: [] };
  await middle();
  const asked = new Map();
  const wrong = [];
  const checker = {
    async check(view) {
      const i = Number(view.properties.get('n'));
      if (view.body.toString() !== `half ${i}`) wrong.push(`body of the checked ${i}`);
      asked.set(i, (asked.get(i) ?? 0) + 1);
      if (asked.get(i) === 1) return TransactionResolution.UNKNOWN;
      return i % 2 === 0 ? TransactionResolution.COMMIT : TransactionResolution.ROLLBACK;
    },
  };
  await startProducer({ checker });
  const consumer = await startSimple();
  const received = [];
  const take = (view) => {
    received.push(Number(view.properties.get('n')));
  };
  const decided = () => range(0, count).every((i) => (asked.get(i) ?? 0) >= 2);
  await receiveUntil(consumer, () => decided() && new Set(received).size >= count / 2, take);
  // A second check round would deliver what was committed once more.
  await receiveUntil(consumer, () => false, take, { timeoutMs: 4_000 });
  return { count, halves, received, asked: [...asked.values()], wrong: wrong.slice(0, 5) };
});
