// SQL filters on properties, one consumer group for each expression, for first deliveries and for retried ones.
const {
  FilterExpression,
  FilterType,
  argument,
  group,
  topic,
  middle,
  persist,
  range,
  receiveUntil,
  run,
  send,
  startProducer,
  startSimple,
} = require('./sdk.cjs');

const count = Number(argument('count', '40'));
const regions = ['eu', 'us', 'ap', undefined];
const regionOf = (i) => regions[i % regions.length];
const priceOf = (i) => i % 20;
const tagOf = (i) => (i % 3 === 0 ? 'tag-a' : 'tag-b');

/** Expression and what it must select. */
const cases = {
  both: ["price > 10 AND region = 'eu'", (i) => priceOf(i) > 10 && regionOf(i) === 'eu'],
  either: [
    "price BETWEEN 5 AND 8 OR region IN ('us', 'ap')",
    (i) => (priceOf(i) >= 5 && priceOf(i) <= 8) || ['us', 'ap'].includes(regionOf(i)),
  ],
  missing: ['region IS NULL', (i) => regionOf(i) === undefined],
  tag: ["TAGS IS NOT NULL AND TAGS = 'tag-a'", (i) => tagOf(i) === 'tag-a'],
  negated: [
    "NOT (price < 15) AND region <> 'us'",
    (i) => {
      return priceOf(i) >= 15 && regionOf(i) !== undefined && regionOf(i) !== 'us';
    },
  ],
};

run(async () => {
  const producer = await startProducer();
  const sendOne = (i) =>
    send(producer, () => {
      const properties = new Map([
        ['n', String(i)],
        ['price', String(priceOf(i))],
      ]);
      if (regionOf(i) !== undefined) properties.set('region', regionOf(i));
      return { topic, tag: tagOf(i), properties, body: Buffer.from('m') };
    });
  await Promise.all(range(0, count / 2).map(sendOne));
  await middle();
  await Promise.all(range(count / 2, count).map(sendOne));
  const expected = {};
  const got = {};
  let retried = 0;
  const select = async (name) => {
    const [expression, matches] = cases[name];
    expected[name] = range(0, count).filter(matches);
    got[name] = [];
    const filter = new FilterExpression(expression, FilterType.SQL);
    const consumer = await startSimple({
      consumerGroup: `${group}-${name}`,
      subscriptions: new Map([[topic, filter]]),
    });
    const givenBack = new Set();
    const take = async (view) => {
      const i = Number(view.properties.get('n'));
      if (givenBack.size === 0) {
        givenBack.add(i);
        await persist(() => consumer.changeInvisibleDuration(view, 1_000));
        return false;
      }
      if (givenBack.has(i) && view.deliveryAttempt > 1) retried++;
      got[name].push(i);
      return true;
    };
    await receiveUntil(consumer, () => new Set(got[name]).size >= expected[name].length, take);
    await receiveUntil(consumer, () => false, take, { timeoutMs: 1_000 });
  };
  await Promise.all(Object.keys(cases).map(select));
  const bad = await startSimple({ consumerGroup: `${group}-bad` });
  await bad.subscribe(topic, new FilterExpression('price >> AND', FilterType.SQL));
  const refused = await bad.receive(1, 10_000).then(
    () => 'accepted',
    () => 'refused',
  );
  return { expected, got, retried, groups: Object.keys(cases).length, refused };
});
