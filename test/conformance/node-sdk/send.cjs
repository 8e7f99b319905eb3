// Sends without pause until standard input closes; prints the number of each acknowledged message on its own line.
// usage: node send.cjs --endpoints host:port --topic T [--senders 8]
const { Producer, logger, sleep, argument } = require('./sdk.cjs');

const topic = argument('topic', 'Load');
const senders = Number(argument('senders', '8'));

(async () => {
  const producer = new Producer({
    endpoints: argument('endpoints', '127.0.0.1:8081'),
    topics: [topic],
    logger,
  });
  await producer.startup();
  let stopping = false;
  process.stdin.resume();
  process.stdin.on('end', () => {
    stopping = true;
  });
  let next = 0;
  const send = async () => {
    while (!stopping) {
      const n = next++;
      try {
        await producer.send({ topic, body: Buffer.from(String(n)) });
        process.stdout.write(`${n}\n`);
      } catch {
        // Not acknowledged: nothing is claimed about it.
        await sleep(50);
      }
    }
  };
  await Promise.all(Array.from({ length: senders }, send));
  process.exit(0);
})();
