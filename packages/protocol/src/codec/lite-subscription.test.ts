import { describe, expect, test } from '@jest/globals';
import {
  decodeSyncLiteSubscriptionRequest,
  encodeSyncLiteSubscriptionRequest,
  liteAction,
  type LiteStart,
} from './lite-subscription.js';

const request = {
  action: liteAction.COMPLETE_ADD,
  topic: { namespace: 'ns', name: 'parent' },
  group: { namespace: '', name: 'g' },
  liteTopics: ['a', 'späte', 'c'],
  version: 7,
  start: null,
};

describe('SyncLiteSubscription', () => {
  test.each<LiteStart | null>([
    null,
    { kind: 'last' },
    { kind: 'min' },
    { kind: 'max' },
    { kind: 'offset', offset: 0 },
    { kind: 'tail', count: 12 },
    { kind: 'time', timestampMs: 1_700_000_000_000 },
  ])('comes back as it was, beginning at %j', (start) => {
    const bytes = encodeSyncLiteSubscriptionRequest({ ...request, start });
    expect(decodeSyncLiteSubscriptionRequest(bytes)).toEqual({ ...request, start });
  });

  test('bytes, as the schema has them', () => {
    const bytes = encodeSyncLiteSubscriptionRequest({
      ...request,
      topic: { namespace: '', name: 'p' },
      liteTopics: ['x', 'y'],
      version: 0,
      start: { kind: 'max' },
    });
    expect(bytes.toString('hex')).toBe(
      '0802' + '12031201' + '70' + '1a031201' + '67' + '220178' + '220179' + '32020802',
    );
  });

  test('an empty request is one without names', () => {
    expect(decodeSyncLiteSubscriptionRequest(Buffer.alloc(0))).toEqual({
      action: 0,
      topic: { namespace: '', name: '' },
      group: { namespace: '', name: '' },
      liteTopics: [],
      version: 0,
      start: null,
    });
  });
});
