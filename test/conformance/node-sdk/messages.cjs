// Sends messages with keys, tag and non-ASCII properties; a SimpleConsumer and a PushConsumer each receive all of them.
// usage: node messages.cjs --endpoints host:port --topic T --count 1000
const {
  Producer,
  SimpleConsumer,
  PushConsumer,
  ConsumeResult,
  logger,
  until,
  run,
  argument,
  assert,
} = require('./sdk.cjs');

const endpoints = argument('endpoints', '127.0.0.1:8081');
const topic = argument('topic', 'ConformanceNormal');
const count = Number(argument('count', '1000'));
const suffix = argument('suffix', String(Date.now()));

const bodyOf = (i) => Buffer.from(`message ${i}: größer, 漢字, 🚀 ${'x'.repeat(i % 500)}`);

function check(view, sent) {
  const i = Number(view.properties.get('number'));
  assert(Number.isInteger(i), `a message without its number: ${view.messageId}`);
  assert(view.body.equals(bodyOf(i)), `body of ${i} differs`);
  assert(!view.corrupted, `message ${i} is marked as corrupted`);
  assert(view.tag === 'tag-a', `tag of ${i} is ${view.tag}`);
  assert(
    JSON.stringify(view.keys) === JSON.stringify([`key-${i}`, `second-${i}`]),
    `keys of ${i} are ${view.keys}`,
  );
  assert(
    view.properties.get('größe') === 'élan 漢字 🚀',
    `property of ${i} is ${view.properties.get('größe')}`,
  );
  assert(view.messageId === sent.get(i), `id of ${i} is ${view.messageId}, sent as ${sent.get(i)}`);
  assert(view.topic === topic, `topic of ${i} is ${view.topic}`);
  return i;
}

run(async () => {
  const sent = new Map();
  const producer = new Producer({ endpoints, topics: [topic], logger });
  await producer.startup();
  const startedAt = Date.now();
  for (let from = 0; from < count; from += 50) {
    const batch = [];
    for (let i = from; i < Math.min(count, from + 50); i++) {
      const properties = new Map([
        ['number', String(i)],
        ['größe', 'élan 漢字 🚀'],
      ]);
      batch.push(
        producer
          .send({
            topic,
            tag: 'tag-a',
            keys: [`key-${i}`, `second-${i}`],
            properties,
            body: bodyOf(i),
          })
          .then((receipt) => {
            assert(receipt.offset >= 0, `offset ${receipt.offset}`);
            assert(receipt.messageId === receipt.transactionId, 'transaction id is the message id');
            sent.set(i, receipt.messageId);
          }),
      );
    }
    await Promise.all(batch);
  }
  const sendMs = Date.now() - startedAt;

  const simple = new SimpleConsumer({
    endpoints,
    consumerGroup: `simple-${suffix}`,
    subscriptions: new Map([[topic, 'tag-a']]),
    awaitDuration: 1000,
    logger,
  });
  await simple.startup();
  const bySimple = new Map();
  const simpleDeadline = Date.now() + 60_000;
  while (bySimple.size < count && Date.now() < simpleDeadline) {
    const views = await simple.receive(32, 20_000);
    for (const view of views) {
      const i = check(view, sent);
      bySimple.set(i, (bySimple.get(i) ?? 0) + 1);
    }
    await Promise.all(views.map((view) => simple.ack(view)));
  }
  assert(bySimple.size === count, `SimpleConsumer received ${bySimple.size} of ${count}`);
  const again = await simple.receive(32, 20_000);
  assert(again.length === 0, `after all acks ${again.length} messages came again`);

  const byPush = new Map();
  let failure = null;
  const push = new PushConsumer({
    endpoints,
    consumerGroup: `push-${suffix}`,
    subscriptions: new Map([[topic, '*']]),
    messageListener: {
      async consume(view) {
        try {
          const i = check(view, sent);
          byPush.set(i, (byPush.get(i) ?? 0) + 1);
          return ConsumeResult.SUCCESS;
        } catch (error) {
          failure = error;
          return ConsumeResult.FAILURE;
        }
      },
    },
    logger,
  });
  await push.startup();
  await until(
    () => byPush.size === count || failure !== null,
    60_000,
    () => `PushConsumer received ${byPush.size} of ${count}`,
  );
  if (failure !== null) throw failure;
  await push.shutdown();
  await simple.shutdown();
  await producer.shutdown();
  const twice = (map) => [...map.values()].filter((times) => times > 1).length;
  return {
    sent: sent.size,
    simple: bySimple.size,
    push: byPush.size,
    simpleTwice: twice(bySimple),
    pushTwice: twice(byPush),
    sendMs,
  };
});
