// Sends and consumes without pause while somebody else kills leaders; stops at a line "stop" on standard input, then
// drains. Prints {"acknowledged":100} after each hundred; at the end what was lost, what came again after its ack was
// answered, failed sends, and the longest gap between two sends.
// usage: node failover.cjs --endpoints host:port --topic T
const {
  Producer,
  SimpleConsumer,
  argument,
  endpoints,
  logger,
  run,
  sleep,
  topic,
} = require('./sdk.cjs');

const suffix = argument('suffix', String(Date.now()));
const senders = Number(argument('senders', '4'));

run(async () => {
  const producer = new Producer({ endpoints, topics: [topic], logger });
  const consumer = new SimpleConsumer({
    endpoints,
    consumerGroup: `failover-${suffix}`,
    subscriptions: new Map([[topic, '*']]),
    awaitDuration: 1000,
    logger,
  });
  await producer.startup();
  await consumer.startup();

  const acknowledged = new Map();
  const failed = [];
  let stopping = false;
  let lastOkAt = Date.now();
  let longestGapMs = 0;
  let next = 0;
  const send = async () => {
    while (!stopping) {
      const n = next++;
      try {
        const receipt = await producer.send({
          topic,
          properties: new Map([['n', String(n)]]),
          body: Buffer.from(`n${n}`),
        });
        acknowledged.set(n, receipt.messageId);
        if (acknowledged.size % 100 === 0) console.log('{"acknowledged":100}');
        longestGapMs = Math.max(longestGapMs, Date.now() - lastOkAt);
        lastOkAt = Date.now();
      } catch (error) {
        failed.push(`${n}: ${error.message}`);
      }
      // Receiving is the slower half; what waits must not take minutes to drain.
      do await sleep(2);
      while (!stopping && acknowledged.size - received.size > 500);
    }
  };

  const received = new Set();
  /** One delivery of one stored copy; a copy that a send retry stored has another offset and counts as its own. */
  const copyOf = (view) => `${view.messageId}@${view.offset}`;
  const ackedAt = new Map();
  const copies = new Map();
  const redelivered = [];
  const take = async (view, askedAt) => {
    const n = Number(view.properties.get('n'));
    received.add(n);
    const copy = copyOf(view);
    copies.set(n, (copies.get(n) ?? new Set()).add(copy));
    if (ackedAt.has(copy) && ackedAt.get(copy) < askedAt && view.deliveryAttempt > 1)
      redelivered.push(`${n} attempt ${view.deliveryAttempt}`);
    try {
      await consumer.ack(view);
      ackedAt.set(copy, Date.now());
    } catch {
      // Not acknowledged as far as we know: it may come again.
    }
  };
  let receiveErrors = 0;
  let drained = false;
  const receive = async () => {
    while (!drained) {
      const askedAt = Date.now();
      let views;
      try {
        views = await consumer.receive(32, 10_000);
      } catch {
        receiveErrors++;
        await sleep(50);
        continue;
      }
      await Promise.all(views.map((view) => take(view, askedAt)));
    }
  };

  process.stdin.setEncoding('utf8');
  process.stdin.on('data', (text) => {
    if (text.includes('stop')) stopping = true;
  });
  process.stdin.on('end', () => {
    stopping = true;
  });
  const receiving = [receive(), receive()];
  await Promise.all(Array.from({ length: senders }, send));
  // What was in flight when a node died becomes visible after its invisible time of 10 s.
  const drainUntil = Date.now() + 30_000;
  while ([...acknowledged.keys()].some((n) => !received.has(n)) && Date.now() < drainUntil)
    await sleep(100);
  drained = true;
  await Promise.all(receiving);
  const lost = [...acknowledged.keys()].filter((n) => !received.has(n));
  const storedTwice = [...copies.values()].filter((set) => set.size > 1).length;
  await producer.shutdown();
  await consumer.shutdown();
  return {
    acknowledged: acknowledged.size,
    lost: lost.length,
    lostSample: lost.slice(0, 5),
    redeliveredAfterAck: redelivered.length,
    redeliveredSample: redelivered.slice(0, 5),
    failedSends: failed.length,
    failedSample: failed.slice(0, 5),
    longestGapMs,
    storedTwice,
    receiveErrors,
  };
});
