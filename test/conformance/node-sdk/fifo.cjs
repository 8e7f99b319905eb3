// Several message groups through push consumers of an ordered group: one message of each group fails once, one message
// fails until it is a dead letter; a second consumer joins half way. Prints what was consumed, group by group.
const {
  argument,
  group,
  topic,
  middle,
  range,
  receiveUntil,
  run,
  send,
  sleep,
  startProducer,
  startPush,
  startSimple,
  until,
} = require('./sdk.cjs');

const groups = Number(argument('groups', '4'));
const count = Number(argument('count', '24'));
const failsOnce = 5;
/** Group and number of the message that always fails. */
const poison = '0/9';

run(async () => {
  const producer = await startProducer();
  let resent = 0;
  await Promise.all(
    range(0, groups).map(async (g) => {
      for (let i = 0; i < count; i++) {
        const message = () => ({
          topic,
          messageGroup: `group-${g}`,
          properties: new Map([['n', String(i)]]),
          body: Buffer.from(`${g}/${i}`),
        });
        await send(producer, message, () => resent++);
      }
    }),
  );
  const seen = range(0, groups).map(() => []);
  const failed = new Set();
  const wrong = [];
  let successes = 0;
  const total = () => seen.reduce((sum, list) => sum + new Set(list).size, 0);
  const consume = async (view) => {
    const g = Number(view.messageGroup.slice('group-'.length));
    const i = Number(view.properties.get('n'));
    const name = `${g}/${i}`;
    if (view.properties.get('__SHARDINGKEY') !== view.messageGroup)
      wrong.push(`${name} has no property __SHARDINGKEY`);
    seen[g].push(i);
    await sleep(i % 3);
    if (name === poison) return false;
    if (i === failsOnce && !failed.has(g)) {
      failed.add(g);
      return false;
    }
    successes++;
    return true;
  };
  await startPush(consume);
  await until(() => successes >= 3);
  const second = startPush(consume);
  await middle();
  await second;
  await until(() => total() >= groups * count);

  const dead = [];
  const letters = await startSimple({
    consumerGroup: `${group}-dead`,
    subscriptions: new Map([[`%DLQ%${group}`, '*']]),
  });
  await receiveUntil(
    letters,
    () => dead.length > 0,
    (view) => {
      dead.push(view.body.toString());
    },
  );
  return { groups, count, failsOnce, poison, seen, dead, resent, wrong: wrong.slice(0, 5) };
});
