// Receives and acknowledges everything in a topic with a fresh group; prints the body of each message on its own line.
// usage: node drain.cjs --endpoints host:port --topic T
const { SimpleConsumer, logger, argument } = require('./sdk.cjs');

const topic = argument('topic', 'Load');

(async () => {
  const consumer = new SimpleConsumer({
    endpoints: argument('endpoints', '127.0.0.1:8081'),
    consumerGroup: `drain-${Date.now()}`,
    subscriptions: new Map([[topic, '*']]),
    awaitDuration: 1500,
    logger,
  });
  await consumer.startup();
  for (let empty = 0; empty < 3;) {
    const views = await consumer.receive(32, 30_000);
    empty = views.length === 0 ? empty + 1 : 0;
    for (const view of views) process.stdout.write(`${view.body.toString()}\n`);
    await Promise.all(views.map((view) => consumer.ack(view)));
  }
  process.exit(0);
})().catch((error) => {
  console.error(error.stack);
  process.exit(1);
});
