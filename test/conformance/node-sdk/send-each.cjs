// Sends messages one after the other. Reports how many sends the SDK had to repeat, and how many places were answered.
// usage: node send-each.cjs --endpoints host:port --topic T --count N [--groups G] [--delay-ms D]
const { Producer, run, argument } = require('./sdk.cjs');

const topic = argument('topic', 'Each');
const count = Number(argument('count', '100'));
const groups = Number(argument('groups', '0'));
const delayMs = Number(argument('delay-ms', '0'));

run(async () => {
  let resends = 0;
  const logger = {
    debug() {},
    info(text) {
      if (String(text).startsWith('Resend message successfully')) resends++;
    },
    warn() {},
    error() {},
  };
  const endpoints = argument('endpoints', '127.0.0.1:8081');
  const producer = new Producer({ endpoints, topics: [topic], logger });
  await producer.startup();
  const places = new Set();
  for (let n = 0; n < count; n++) {
    const message = { topic, body: Buffer.from(`n${n}`) };
    if (groups > 0) message.messageGroup = `group ${n % groups}`;
    if (delayMs > 0) message.deliveryTimestamp = new Date(Date.now() + delayMs);
    const receipt = await producer.send(message);
    places.add(`${receipt.messageId}@${receipt.offset}`);
  }
  await producer.shutdown();
  return { resends, places: places.size };
});
