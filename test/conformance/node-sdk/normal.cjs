// Sends messages with keys, tag and non-ASCII properties; a SimpleConsumer and a PushConsumer each receive all of them.
const {
  argument,
  group,
  topic,
  middle,
  range,
  receiveOnce,
  receiveUntil,
  run,
  send,
  startProducer,
  startPush,
  startSimple,
  until,
} = require('./sdk.cjs');

const count = Number(argument('count', '200'));
const bodyOf = (i) => Buffer.from(`message ${i}: größer, 漢字, 🚀 ${'x'.repeat(i % 500)}`);
const keysOf = (i) => [`key-${i}`, `second-${i}`];

/** What differs from what was sent; '' when nothing does. */
function difference(view, i, ids) {
  if (!Number.isInteger(i)) return `a message without its number: ${view.messageId}`;
  if (!view.body.equals(bodyOf(i))) return `body of ${i}`;
  if (view.corrupted) return `${i} is marked as corrupted`;
  if (view.tag !== 'tag-a') return `tag of ${i} is ${view.tag}`;
  if (JSON.stringify(view.keys) !== JSON.stringify(keysOf(i))) return `keys of ${i}: ${view.keys}`;
  if (view.properties.get('größe') !== 'élan 漢字 🚀') return `property of ${i}`;
  if (!ids.get(i).includes(view.messageId)) return `id of ${i} is ${view.messageId}`;
  if (view.topic !== topic) return `topic of ${i} is ${view.topic}`;
  return '';
}

run(async () => {
  const ids = new Map(range(0, count).map((i) => [i, []]));
  const wrong = [];
  let resent = 0;
  const producer = await startProducer();
  const sendOne = async (i) => {
    const receipt = await send(
      producer,
      () => ({
        topic,
        tag: 'tag-a',
        keys: keysOf(i),
        properties: new Map([
          ['number', String(i)],
          ['größe', 'élan 漢字 🚀'],
        ]),
        body: bodyOf(i),
      }),
      () => resent++,
    );
    if (!(receipt.offset >= 0)) wrong.push(`offset of ${i} is ${receipt.offset}`);
    if (receipt.messageId !== receipt.transactionId) wrong.push(`transaction id of ${i}`);
    ids.get(i).push(receipt.messageId);
  };
  const half = count / 2;
  await Promise.all(range(0, half).map(sendOne));
  const inFlight = range(half, half + 20).map(sendOne);
  await middle();
  await Promise.all([...inFlight, ...range(half + 20, count).map(sendOne)]);

  // A send that the SDK repeats may store a second copy, at another offset of the queue.
  const received = () => {
    const copies = new Map();
    return {
      copies,
      take: (view) => {
        const i = Number(view.properties.get('number'));
        const problem = difference(view, i, ids);
        if (problem !== '') wrong.push(problem);
        const stored = copies.get(i) ?? new Map();
        stored.set(view.offset, (stored.get(view.offset) ?? 0) + 1);
        copies.set(i, stored);
      },
      storedTwice: () => [...copies.values()].filter((stored) => stored.size > 1).length,
      deliveredTwice: () =>
        [...copies.values()].filter((stored) => [...stored.values()].some((times) => times > 1))
          .length,
    };
  };
  const simple = received();
  const consumer = await startSimple({ subscriptions: new Map([[topic, 'tag-a']]) });
  await receiveUntil(consumer, () => simple.copies.size === count, simple.take);
  const left = (await receiveOnce(consumer)).filter((view) => {
    const stored = simple.copies.get(Number(view.properties.get('number')));
    return stored.has(view.offset);
  });
  const push = received();
  await startPush(
    (view) => {
      push.take(view);
      return true;
    },
    { consumerGroup: `${group}-push` },
  );
  await until(() => push.copies.size === count);
  return {
    sent: [...ids.values()].filter((list) => list.length > 0).length,
    count,
    resent,
    simple: simple.copies.size,
    simpleTwice: simple.deliveredTwice() + left.length,
    push: push.copies.size,
    pushTwice: push.deliveredTwice(),
    storedTwice: simple.storedTwice(),
    wrong: wrong.slice(0, 5),
  };
});
