// Messages that must be refused, by the SDK or by the broker: prints the answers, and whether the same client goes on.
const { topic, middle, receiveUntil, run, send, startProducer, startSimple } = require('./sdk.cjs');

/** The topic is one for delayed messages. */
const good = (n) => ({
  topic,
  deliveryTimestamp: new Date(Date.now() + 1_000),
  body: Buffer.from(`good ${n}`),
});

const bad = {
  'empty body': { body: Buffer.alloc(0) },
  'body too large': { body: Buffer.alloc(5 << 20, 'x') },
  'unknown topic': { topic: `${topic}-unknown` },
  'wrong message type': { deliveryTimestamp: undefined },
  'delay too long': { deliveryTimestamp: new Date(Date.now() + 10 * 365 * 86_400_000) },
};

run(async () => {
  const producer = await startProducer();
  const consumer = await startSimple();
  const answers = {};
  await send(producer, () => good(0));
  for (const [what, change] of Object.entries(bad))
    answers[what] = await producer.send({ ...good(0), ...change }).then(
      () => 'accepted',
      (error) => String(error.code ?? error.message),
    );
  await middle();
  await send(producer, () => good(1));
  const received = new Set();
  const take = (view) => {
    received.add(view.body.toString());
  };
  await receiveUntil(consumer, () => received.size === 2, take);
  await receiveUntil(consumer, () => false, take, { timeoutMs: 1_000 });
  return { answers, sent: 2, received: received.size };
});
