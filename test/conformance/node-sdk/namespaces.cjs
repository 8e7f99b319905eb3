// The same topic and the same consumer group in two namespaces: each consumer sees the messages of its own only.
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

const count = Number(argument('count', '20'));
const namespaces = argument('namespaces', 'first,second').split(',');

run(async () => {
  const facts = {};
  const wrong = [];
  const parts = await Promise.all(
    namespaces.map(async (namespace) => {
      const got = { simple: [], push: [] };
      facts[namespace] = got;
      const note = (list) => (view) => {
        list.push(view.body.toString());
        if (view.topic !== topic) wrong.push(`topic is ${view.topic}`);
        return true;
      };
      const producer = await startProducer({ namespace });
      const simple = await startSimple({ namespace });
      await startPush(note(got.push), { namespace, consumerGroup: `${group}-push` });
      return { namespace, got, producer, simple, note };
    }),
  );
  const sendRange = (from, end) =>
    Promise.all(
      parts.flatMap(({ namespace, producer }) =>
        range(from, end).map((i) =>
          send(producer, () => ({ topic, body: Buffer.from(`${namespace}/${i}`) })),
        ),
      ),
    );
  await sendRange(0, count / 2);
  await middle();
  await sendRange(count / 2, count);
  await Promise.all(
    parts.map(async ({ got, simple, note }) => {
      await receiveUntil(simple, () => new Set(got.simple).size >= count, note(got.simple));
      await receiveUntil(simple, () => false, note(got.simple), { timeoutMs: 1_000 });
      await until(() => new Set(got.push).size >= count);
    }),
  );
  return { count, namespaces, facts, wrong: wrong.slice(0, 5) };
});
