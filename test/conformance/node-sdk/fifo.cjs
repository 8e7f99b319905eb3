// Sends numbered messages in several message groups; a PushConsumer of an ordered group must see each group in order.
// usage: node fifo.cjs --endpoints host:port --topic T --group G --groups 8 --count 40
const {
  Producer,
  PushConsumer,
  ConsumeResult,
  logger,
  sleep,
  until,
  run,
  argument,
  assert,
} = require('./sdk.cjs');

const endpoints = argument('endpoints', '127.0.0.1:8081');
const topic = argument('topic', 'ConformanceFifo');
const consumerGroup = argument('group', 'fifo-group');
const groups = Number(argument('groups', '8'));
const count = Number(argument('count', '40'));

run(async () => {
  const producer = new Producer({ endpoints, topics: [topic], logger });
  await producer.startup();
  await Promise.all(
    Array.from({ length: groups }, async (_, g) => {
      for (let i = 0; i < count; i++) {
        await producer.send({
          topic,
          messageGroup: `group-${g}`,
          properties: new Map([['n', String(i)]]),
          body: Buffer.from(`${g}/${i}`),
        });
      }
    }),
  );
  const seen = Array.from({ length: groups }, () => []);
  let failure = null;
  const consumer = new PushConsumer({
    endpoints,
    consumerGroup,
    subscriptions: new Map([[topic, '*']]),
    messageListener: {
      async consume(view) {
        const g = Number(view.messageGroup.slice('group-'.length));
        const i = Number(view.properties.get('n'));
        if (view.properties.get('__SHARDINGKEY') !== view.messageGroup)
          failure = new Error('no __SHARDINGKEY property');
        await sleep(i % 3);
        seen[g].push(i);
        return ConsumeResult.SUCCESS;
      },
    },
    logger,
  });
  await consumer.startup();
  const total = () => seen.reduce((sum, list) => sum + list.length, 0);
  await until(
    () => total() >= groups * count || failure !== null,
    90_000,
    () => `received ${total()} of ${groups * count}`,
  );
  if (failure !== null) throw failure;
  await consumer.shutdown();
  await producer.shutdown();
  const expected = Array.from({ length: count }, (_, i) => i);
  for (let g = 0; g < groups; g++) {
    assert(
      JSON.stringify(seen[g]) === JSON.stringify(expected),
      `order of group ${g} is ${seen[g].join(',')}`,
    );
  }
  return { groups, perGroup: count, inOrder: true };
});
