import { afterEach, expect, test } from '@jest/globals';
import { settle } from '../testing/single-node.js';
import { ServiceFixture } from '../testing/service-fixture.js';

let fixture: ServiceFixture;
afterEach(() => fixture.service.stop());

test('leaders that follow each other quickly let no lease of a living client end', async () => {
  fixture = await ServiceFixture.start();
  const { service, state, clock } = fixture;
  await service.putTopic({ name: 'T', type: 'NORMAL', queues: 1, permission: 6 });
  await fixture.send('a');
  expect(await fixture.receive({ autoRenew: true, invisibleMs: 60_000 })).toHaveLength(1);
  // Nobody leads for longer than a round of looking takes.
  for (let term = 2; term < 42; term++) {
    state.roleChanged({ role: 'follower', term, leaderId: null, writable: false });
    state.roleChanged({ role: 'leader', term, leaderId: 0, writable: true });
    await settle();
    await clock.advance(4_000);
    service.clientSeen('client');
    expect(await fixture.receive({ clientId: 'other' })).toEqual([]);
  }
});
