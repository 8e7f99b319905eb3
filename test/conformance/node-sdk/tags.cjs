// Tag filters: an alternative of two tags, one tag in a push consumer, and everything. Prints which numbers each got.
const {
  argument,
  group,
  topic,
  middle,
  range,
  receiveUntil,
  run,
  send,
  startProducer,
  startPush,
  startSimple,
  until,
} = require('./sdk.cjs');

const count = Number(argument('count', '40'));
const tags = ['tag-a', 'tag-b', 'tag-c', undefined];
const tagOf = (i) => tags[i % tags.length];

run(async () => {
  const producer = await startProducer();
  const sendOne = (i) =>
    send(producer, () => ({
      topic,
      ...(tagOf(i) === undefined ? {} : { tag: tagOf(i) }),
      properties: new Map([['n', String(i)]]),
      body: Buffer.from('m'),
    }));
  const numberOf = (view) => Number(view.properties.get('n'));
  const expected = {
    alternative: range(0, count).filter((i) => tagOf(i) === 'tag-a' || tagOf(i) === 'tag-b'),
    one: range(0, count).filter((i) => tagOf(i) === 'tag-c'),
    all: range(0, count),
  };
  const got = { alternative: [], one: [], all: [] };
  await startPush(
    (view) => {
      got.one.push(numberOf(view));
      return true;
    },
    { consumerGroup: `${group}-one`, subscriptions: new Map([[topic, 'tag-c']]) },
  );
  await Promise.all(range(0, count / 2).map(sendOne));
  await middle();
  await Promise.all(range(count / 2, count).map(sendOne));
  const drain = async (name, filter) => {
    const consumer = await startSimple({
      consumerGroup: `${group}-${name}`,
      subscriptions: new Map([[topic, filter]]),
    });
    const take = (view) => {
      got[name].push(numberOf(view));
    };
    await receiveUntil(consumer, () => new Set(got[name]).size >= expected[name].length, take);
    await receiveUntil(consumer, () => false, take, { timeoutMs: 1_000 });
  };
  await Promise.all([drain('alternative', 'tag-a || tag-b'), drain('all', '*')]);
  await until(() => new Set(got.one).size >= expected.one.length);
  return { expected, got };
});
