// Messages with a delivery time in the near future, any millisecond; prints how far off they came.
const {
  argument,
  topic,
  middle,
  range,
  receiveUntil,
  run,
  send,
  startProducer,
  startSimple,
} = require('./sdk.cjs');

const count = Number(argument('count', '20'));

run(async () => {
  const producer = await startProducer();
  const due = new Map();
  const wrong = [];
  let resent = 0;
  const sendOne = async (i) => {
    const receipt = await send(
      producer,
      () => {
        due.set(i, Date.now() + 3000 + ((i * 377) % 2000));
        return {
          topic,
          deliveryTimestamp: new Date(due.get(i)),
          properties: new Map([['n', String(i)]]),
          body: Buffer.from(`delayed ${i}`),
        };
      },
      () => resent++,
    );
    // Only what is not yet due can be recalled.
    if (!receipt.recallHandle && Date.now() < due.get(i)) wrong.push(`no recall handle for ${i}`);
  };
  await Promise.all(range(0, count / 2).map(sendOne));
  const consumer = await startSimple();
  const inFlight = range(count / 2, count - 5).map(sendOne);
  await middle();
  await Promise.all([...inFlight, ...range(count - 5, count).map(sendOne)]);

  const received = new Map();
  const lateMs = [];
  let early = 0;
  await receiveUntil(
    consumer,
    () => received.size === count,
    (view) => {
      const i = Number(view.properties.get('n'));
      received.set(i, (received.get(i) ?? 0) + 1);
      const late = Date.now() - view.deliveryTimestamp.getTime();
      if (late < 0) early++;
      lateMs.push(late);
      // A message that was sent again after a failure has two delivery times.
      if (resent === 0 && view.deliveryTimestamp.getTime() !== due.get(i))
        wrong.push(`delivery time of ${i}`);
    },
    { invisibleMs: 10_000 },
  );
  return {
    count,
    resent,
    received: received.size,
    twice: [...received.values()].filter((times) => times > 1).length,
    early,
    lateMsMax: Math.max(...lateMs),
    wrong: wrong.slice(0, 5),
  };
});
