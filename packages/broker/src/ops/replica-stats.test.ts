import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { ServiceFixture } from '../testing/service-fixture.js';
import { consumerLag, groupProgress } from './replica-stats.js';

let fixture: ServiceFixture;
beforeEach(async () => {
  fixture = await ServiceFixture.start();
  await fixture.service.putTopic({ name: 'T', type: 'NORMAL', queues: 2, permission: 6 });
});
afterEach(() => fixture.service.stop());

test('lag counts what is kept and not acknowledged, queues that the group has not reached included', async () => {
  await fixture.send('0', '1', '2', '3', '4', '5');
  const [first] = await fixture.receive({ queueId: 0, batchSize: 2 });
  await fixture.ack('g', first!.handle);
  fixture.queueIndex.forgetBelow('T', 1, 2);
  const progress = groupProgress(fixture.state.tables, fixture.queueIndex, 'g');
  expect(progress).toEqual([
    { topic: 'T', queueId: 0, committedOffset: 1, maxOffset: 3, inFlight: 1, lag: 2 },
    { topic: 'T', queueId: 1, committedOffset: 2, maxOffset: 3, inFlight: 0, lag: 1 },
  ]);
  expect([...consumerLag(fixture.state.tables, fixture.queueIndex)]).toEqual([
    { group: 'g', topic: 'T', messages: 3 },
  ]);
  expect(groupProgress(fixture.state.tables, fixture.queueIndex, 'nobody')).toEqual([]);
});
