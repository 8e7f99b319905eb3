import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { clientType } from '@raftmq/protocol';
import { ClientCore } from './client-core.js';
import { defaultProducerSettings } from './settings.js';
import { FakeBroker, until } from './testing/fake-broker.js';

let broker: FakeBroker;
let core: ClientCore;

const role = {
  clientType: clientType.PRODUCER,
  group: '',
  topics: () => ['topic'],
  subscriptions: () => [],
  longPollingMs: 0,
};

beforeEach(async () => {
  broker = new FakeBroker();
  await broker.start();
});

afterEach(async () => {
  await core.stop();
  await broker.stop();
});

describe('ClientCore', () => {
  test('takes over the settings of the server before start is done', async () => {
    broker.settings = { backoffPolicy: { maxAttempts: 9 } };
    core = new ClientCore({ endpoints: broker.endpoints }, role, defaultProducerSettings);
    await core.start(['topic']);
    expect(core.settings.maxAttempts).toBe(9);
    await until(() => broker.heartbeats === 1);
  });

  test('tries all endpoints for a route', async () => {
    const gone = new FakeBroker();
    await gone.start();
    const endpoints = `${gone.endpoints};${broker.endpoints}`;
    await gone.stop();
    core = new ClientCore({ endpoints }, role, defaultProducerSettings);
    await core.start(['topic']);
    expect((await core.routes.get('topic')).writable).toHaveLength(1);
  });

  test('asks once for a route that many want', async () => {
    core = new ClientCore({ endpoints: broker.endpoints }, role, defaultProducerSettings);
    await core.start([]);
    await Promise.all([1, 2, 3].map(() => core.routes.get('topic')));
    expect(broker.calls('queryRoute')).toBe(1);
    core.routes.refresh('topic');
    await until(() => broker.calls('queryRoute') === 2);
  });

  test('does not remember that a topic was missing', async () => {
    core = new ClientCore({ endpoints: broker.endpoints }, role, defaultProducerSettings);
    await core.start([]);
    await expect(core.routes.get('new')).rejects.toMatchObject({ code: 'TOPIC_NOT_FOUND' });
    broker.topics.add('new');
    expect((await core.routes.get('new')).topic).toBe('new');
  });

  test('opens its stream again, at the other address, when the broker goes', async () => {
    const other = new FakeBroker();
    await other.start();
    broker.routeAddresses = [
      { host: '127.0.0.1', port: broker.port },
      { host: '127.0.0.1', port: other.port },
    ];
    core = new ClientCore({ endpoints: broker.endpoints }, role, defaultProducerSettings);
    await core.start(['topic']);
    expect(broker.settingsSeen).toHaveLength(1);
    await broker.stop();
    await until(() => other.settingsSeen.length === 1);
    await core.stop();
    await other.stop();
  });

  test('starts once and says so', async () => {
    core = new ClientCore({ endpoints: broker.endpoints }, role, defaultProducerSettings);
    expect(() => core.checkRunning()).toThrow('has not been started');
    await core.start([]);
    await expect(core.start([])).rejects.toMatchObject({ code: 'PRECONDITION_FAILED' });
    await core.stop();
    expect(() => core.checkRunning()).toThrow('is closed');
  });
});
