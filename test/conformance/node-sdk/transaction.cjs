// Half messages, then every second one is committed and the others are rolled back; prints what became visible.
const {
  TransactionResolution,
  argument,
  topic,
  middle,
  persist,
  range,
  receiveOnce,
  receiveUntil,
  run,
  startProducer,
  startSimple,
} = require('./sdk.cjs');

const count = Number(argument('count', '12'));

run(async () => {
  const decisions = new Map();
  let checks = 0;
  const checker = {
    async check(view) {
      checks++;
      return decisions.get(view.messageId) ?? TransactionResolution.UNKNOWN;
    },
  };
  const producer = await startProducer({ checker });
  const halves = await Promise.all(
    range(0, count).map(async (i) => {
      const transaction = producer.beginTransaction();
      const receipt = await producer.send(
        { topic, properties: new Map([['n', String(i)]]), body: Buffer.from(`half ${i}`) },
        transaction,
      );
      return { i, transaction, receipt };
    }),
  );
  const consumer = await startSimple();
  const tooEarly = (await receiveOnce(consumer, 32, 10_000)).length;
  const end = async ({ i, transaction, receipt }) => {
    const commit = i % 2 === 0;
    decisions.set(
      receipt.messageId,
      commit ? TransactionResolution.COMMIT : TransactionResolution.ROLLBACK,
    );
    await persist(() => (commit ? transaction.commit() : transaction.rollback()));
  };
  await Promise.all(halves.slice(0, 4).map(end));
  await middle();
  await Promise.all(halves.slice(4).map(end));

  const received = [];
  const wrong = [];
  const take = (view) => {
    const i = Number(view.properties.get('n'));
    received.push(i);
    if (view.messageId !== halves[i].receipt.messageId) wrong.push(`id of ${i}`);
    if (view.properties.get('__transactionId__') !== halves[i].receipt.transactionId)
      wrong.push(`__transactionId__ of ${i}`);
  };
  await receiveUntil(consumer, () => new Set(received).size >= count / 2, take);
  (await receiveOnce(consumer)).forEach(take);
  return { count, tooEarly, received, checks, wrong: wrong.slice(0, 5) };
});
