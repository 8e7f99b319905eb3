// Sends delayed messages and recalls every second one before it is due; prints which of them came all the same.
const {
  argument,
  halt,
  topic,
  middle,
  persist,
  range,
  receiveUntil,
  run,
  startProducer,
  startSimple,
} = require('./sdk.cjs');

const count = Number(argument('count', '10'));
/** Time for all programs beside this one to come half way, as some recalls wait for that. */
const DELAY_MS = halt ? 20_000 : 12_000;

run(async () => {
  const producer = await startProducer();
  const receipts = await Promise.all(
    range(0, count).map((i) =>
      producer.send({
        topic,
        deliveryTimestamp: new Date(Date.now() + DELAY_MS),
        properties: new Map([['n', String(i)]]),
        body: Buffer.from(`delayed ${i}`),
      }),
    ),
  );
  const wrong = [];
  const recall = async (i) => {
    const recalled = await persist(() => producer.recallMessage(topic, receipts[i].recallHandle));
    if (recalled.messageId !== receipts[i].messageId) wrong.push(`id of the recalled ${i}`);
  };
  const recalled = range(0, count).filter((i) => i % 2 === 1);
  for (const i of recalled.slice(0, 2)) await recall(i);
  await middle();
  for (const i of recalled.slice(2)) await recall(i);
  const refusal = async (handle) => {
    try {
      await producer.recallMessage(topic, handle);
      return 'accepted';
    } catch {
      return 'refused';
    }
  };
  const garbage = await refusal('bm90IGEgaGFuZGxl');

  const consumer = await startSimple();
  const received = [];
  await receiveUntil(
    consumer,
    () => new Set(received).size >= count - recalled.length,
    (view) => {
      received.push(Number(view.properties.get('n')));
    },
  );
  // All were due at the same time, so what was recalled in vain is there by now.
  await receiveUntil(
    consumer,
    () => false,
    (view) => {
      received.push(Number(view.properties.get('n')));
    },
    { timeoutMs: 2500 },
  );
  const delivered = await refusal(receipts[0].recallHandle);
  return { count, recalled, received, garbage, delivered, wrong };
});
