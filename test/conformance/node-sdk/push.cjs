// PushConsumer: most messages succeed, some fail once, some fail always and become dead letters, which a SimpleConsumer
// then reads. Prints the attempts of each message and the dead letters.
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

const count = Number(argument('count', '30'));
const maxAttempts = Number(argument('max-attempts', '3'));
const kindOf = (i) => (i % 10 === 7 ? 'always' : i % 5 === 3 ? 'once' : 'never');

run(async () => {
  const producer = await startProducer();
  const attempts = new Map(range(0, count).map((i) => [i, []]));
  const ids = new Map();
  let resent = 0;
  const sendOne = async (i) => {
    const message = () => ({
      topic,
      tag: kindOf(i),
      properties: new Map([['n', String(i)]]),
      body: Buffer.from(`push ${i}`),
    });
    ids.set(i, (await send(producer, message, () => resent++)).messageId);
  };
  await startPush((view) => {
    const i = Number(view.properties.get('n'));
    attempts.get(i).push(view.deliveryAttempt);
    if (kindOf(i) === 'always') return false;
    return kindOf(i) === 'never' || attempts.get(i).length > 1;
  });
  await Promise.all(range(0, count / 2).map(sendOne));
  const some = () => [...attempts.values()].filter((list) => list.length > 0).length;
  await until(() => some() >= count / 2);
  await middle();
  await Promise.all(range(count / 2, count).map(sendOne));
  const done = (i) => {
    const times = attempts.get(i).length;
    return times >= (kindOf(i) === 'always' ? maxAttempts : kindOf(i) === 'once' ? 2 : 1);
  };
  await until(() => range(0, count).every(done));

  const dead = [];
  const wrong = [];
  const expected = range(0, count).filter((i) => kindOf(i) === 'always');
  const letters = await startSimple({
    consumerGroup: `${group}-dead`,
    subscriptions: new Map([[`%DLQ%${group}`, '*']]),
  });
  await receiveUntil(
    letters,
    () => new Set(dead).size >= expected.length,
    (view) => {
      const i = Number(view.properties.get('n'));
      dead.push(i);
      if (view.body.toString() !== `push ${i}`) wrong.push(`body of dead letter ${i}`);
      if (view.tag !== 'always') wrong.push(`tag of dead letter ${i} is ${view.tag}`);
    },
  );
  const of = (kind) => range(0, count).filter((i) => kindOf(i) === kind);
  return {
    count,
    maxAttempts,
    resent,
    never: of('never').map((i) => attempts.get(i)),
    once: of('once').map((i) => attempts.get(i)),
    always: of('always').map((i) => attempts.get(i)),
    expectedDead: expected,
    dead,
    wrong: wrong.slice(0, 5),
  };
});
