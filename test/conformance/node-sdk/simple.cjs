// SimpleConsumer: of the messages received, some are acknowledged, some extended, some given back early, some left
// alone. Prints when and as which attempt each of them came again.
const {
  INVALID_RECEIPT_HANDLE,
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

const INVISIBLE_MS = 10_000;
const EXTENDED_MS = 14_000;
const SHORTENED_MS = 2_000;
const kinds = ['acked', 'left', 'extended', 'shortened'];
const perKind = Number(argument('count', '3'));

run(async () => {
  const producer = await startProducer();
  const count = kinds.length * perKind;
  for (const i of range(0, count))
    await producer.send({ topic, properties: new Map([['n', String(i)]]), body: Buffer.from('m') });
  const kindOf = (view) => kinds[Number(view.properties.get('n')) % kinds.length];
  const consumer = await startSimple();
  const first = new Map();
  const since = new Map();
  while (first.size < count) {
    const askedAt = Date.now();
    for (const view of await persist(() => consumer.receive(32, INVISIBLE_MS))) {
      first.set(view.messageId, view);
      since.set(view.messageId, askedAt);
    }
  }
  const wrong = [];
  const treat = async (view) => {
    const kind = kindOf(view);
    if (view.deliveryAttempt !== 1) wrong.push(`first attempt is ${view.deliveryAttempt}`);
    if (kind === 'acked') await persist(() => consumer.ack(view));
    if (kind === 'extended' || kind === 'shortened') {
      since.set(view.messageId, Date.now());
      const ms = kind === 'extended' ? EXTENDED_MS : SHORTENED_MS;
      await persist(() => consumer.changeInvisibleDuration(view, ms));
    }
  };
  await Promise.all([...first.values()].map(treat));
  await middle();
  /** The answer to an ack with a receipt handle that ran out. */
  const ackStale = (view) =>
    persist(() => consumer.ack(view)).then(
      () => 'accepted',
      (error) =>
        error.code === INVALID_RECEIPT_HANDLE ? 'INVALID_RECEIPT_HANDLE' : String(error.code),
    );
  const again = [];
  let stale = '';
  await receiveUntil(
    consumer,
    () => again.length >= count - perKind,
    async (view) => {
      again.push({
        kind: kindOf(view),
        afterMs: Date.now() - since.get(view.messageId),
        attempt: view.deliveryAttempt,
      });
      if (kindOf(view) === 'left') stale = await ackStale(first.get(view.messageId));
    },
  );
  const left = (await receiveOnce(consumer)).map(kindOf);
  return { perKind, again, left, stale, wrong: wrong.slice(0, 5) };
});
