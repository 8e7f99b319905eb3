// What the programs here share: the official SDK, quiet logs, arguments, one JSON line as the result.
const {
  Producer,
  SimpleConsumer,
  PushConsumer,
  ConsumeResult,
  Message,
} = require('rocketmq-client-nodejs');

const lines = [];
const keep =
  (level) =>
  (...args) => {
    lines.push(`${level} ${args.map(String).join(' ')}`);
    if (lines.length > 200) lines.shift();
  };
const logger = { debug() {}, info() {}, warn: keep('warn'), error: keep('error') };

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `done()` holds; throws with `what()` after `timeoutMs`. */
async function until(done, timeoutMs, what) {
  const endsAt = Date.now() + timeoutMs;
  while (!done()) {
    if (Date.now() > endsAt) throw new Error(`timed out: ${what()}`);
    await sleep(20);
  }
}

/** Runs `program`, prints its result as one JSON line, exits 0 or 1. */
function run(program) {
  program().then(
    (result) => {
      console.log(JSON.stringify(result));
      process.exit(0);
    },
    (error) => {
      console.error(error && error.stack ? error.stack : String(error));
      if (error && error.cause) console.error('cause:', error.cause);
      for (const line of lines.slice(-20)) console.error(line);
      process.exit(1);
    },
  );
}

const argument = (name, fallback) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : process.argv[at + 1];
};

const assert = (condition, message) => {
  if (!condition) throw new Error(message);
};

module.exports = {
  Producer,
  SimpleConsumer,
  PushConsumer,
  ConsumeResult,
  Message,
  logger,
  sleep,
  until,
  run,
  argument,
  assert,
};
