// One producer, one SimpleConsumer and one PushConsumer over several topics. --topic is their common prefix.
const {
  argument,
  group,
  topic: prefix,
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

const count = Number(argument('count', '20'));
const topics = ['A', 'B', 'C'].map((letter) => `${prefix}${letter}`);

run(async () => {
  const producer = await startProducer({ topics });
  const all = topics.flatMap((topic) => range(0, count).map((i) => ({ topic, i })));
  const sendOne = ({ topic, i }) =>
    send(producer, () => ({ topic, tag: 'tag-a', body: Buffer.from(`${topic}/${i}`) }));
  const pushed = [];
  await startPush(
    (view) => {
      pushed.push({ topic: view.topic, body: view.body.toString() });
      return true;
    },
    {
      consumerGroup: `${group}-push`,
      subscriptions: new Map(topics.map((topic, at) => [topic, at === 0 ? 'tag-a' : '*'])),
    },
  );
  await Promise.all(all.slice(0, all.length / 2).map(sendOne));
  await middle();
  await Promise.all(all.slice(all.length / 2).map(sendOne));
  const simple = [];
  const consumer = await startSimple({ subscriptions: new Map(topics.map((one) => [one, '*'])) });
  const bodies = (list) => new Set(list.map((one) => one.body)).size;
  await receiveUntil(
    consumer,
    () => bodies(simple) === all.length,
    (view) => {
      simple.push({ topic: view.topic, body: view.body.toString() });
    },
  );
  await until(() => bodies(pushed) === all.length);
  const strays = [...simple, ...pushed].filter(({ topic, body }) => !body.startsWith(`${topic}/`));
  return {
    expected: all.length,
    simple: bodies(simple),
    push: bodies(pushed),
    strays: strays.slice(0, 5),
  };
});
