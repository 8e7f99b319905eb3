import { expect, test } from '@jest/globals';
import { gzipSync } from 'node:zlib';
import { MessageAdmin, messageMissing, type AskGroups } from './message-admin.js';

interface Asked {
  readonly method: string;
  readonly request: Record<string, unknown>;
  readonly group: string | undefined;
}

/** Groups a and b, which answer what the test says. */
function adminOf(answer: (asked: Asked, group: string) => object): {
  readonly admin: MessageAdmin;
  readonly asked: Asked[];
} {
  const asked: Asked[] = [];
  const ask = ((method: string, request: object, _absent: string, group?: string) => {
    const call = { method, request: request as Record<string, unknown>, group };
    asked.push(call);
    const groups = group === undefined ? ['a', 'b'] : [group];
    return Promise.resolve(groups.map((name) => ({ group: name, answer: answer(call, name) })));
  }) as unknown as AskGroups;
  return { admin: new MessageAdmin(ask), asked };
}

const wire = (messageId: string, storeTimestamp: number, fields: object = {}): object => ({
  state: 'VISIBLE',
  messageId,
  storeTimestamp,
  position: storeTimestamp,
  userProperties: [{ name: 'color', value: 'red' }],
  body: Buffer.from('b'),
  bodySize: 1,
  gzip: false,
  ...fields,
});
const ids = (found: { readonly messages: readonly { readonly messageId: string }[] }): string[] =>
  found.messages.map(({ messageId }) => messageId);

test('a query by key goes on page by page in every group, and merges them, newest first', async () => {
  const { admin, asked } = adminOf(({ method, request }, group) => {
    if (method === 'ListTopics') return {};
    const { beforePosition } = request;
    if (group === 'b') return { messages: [wire('b', 25)], nextPosition: 0, missingBytes: 4 };
    return beforePosition === 0
      ? { messages: [wire('a3', 30), wire('a2', 20)], nextPosition: 20, missingBytes: 0 }
      : { messages: [wire('a1', 10)], nextPosition: 0, missingBytes: 0 };
  });
  const found = await admin.query({ topic: 't', key: 'k', count: 5 });
  expect(ids(found)).toEqual(['a3', 'b', 'a2', 'a1']);
  expect(found).toMatchObject({ more: false, missingBytes: 4 });
  expect(found.messages[0]!.userProperties).toEqual({ color: 'red' });
  const pages = asked.filter(({ group }) => group === 'a').map(({ request }) => request);
  expect(pages).toMatchObject([
    { beforePosition: 0, countMax: 5 },
    { beforePosition: 20, countMax: 3 },
  ]);
  const two = await admin.query({ topic: 't', key: 'k', count: 2 });
  expect(ids(two)).toEqual(['a3', 'b']);
  expect(two.more).toBe(true);
});

test('a list from the end keeps the newest of all groups', async () => {
  const { admin, asked } = adminOf((_, group) => ({
    messages: group === 'a' ? [wire('a1', 1), wire('a5', 5)] : [wire('b3', 3), wire('b4', 4)],
    nextPosition: 0,
    missingBytes: 0,
  }));
  expect(ids(await admin.list({ topic: 't', start: { kind: 'newest' }, count: 2 }))).toEqual([
    'b4',
    'a5',
  ]);
  const first = await admin.list({ topic: 't', start: { kind: 'offset', value: 9 }, count: 3 });
  expect(ids(first)).toEqual(['a1', 'b3', 'b4']);
  expect(first.more).toBe(true);
  expect(asked[1]!.request).toMatchObject({ queueId: -1, start: 'OFFSET', startValue: 9 });
});

test('bodies are decompressed when they are whole', async () => {
  const zipped = gzipSync('long text');
  const { admin } = adminOf((_, group) => ({
    messages:
      group === 'a'
        ? [
            wire('whole', 1, { body: zipped, bodySize: zipped.length, gzip: true }),
            wire('cut', 2, { body: zipped.subarray(0, 5), bodySize: zipped.length, gzip: true }),
            wire('lie', 3, { body: Buffer.from('x'), gzip: true }),
          ]
        : [],
    missingBytes: 0,
  }));
  const { messages } = await admin.find('x', '', 100);
  expect(messages.map(({ body, bodyComplete }) => [body.length, bodyComplete])).toEqual([
    [9, true],
    [5, false],
    [1, true],
  ]);
});

test('a trace goes on until it is complete, and counts attempts by group', async () => {
  const event = (what: string, group: string, suspended = false): object => ({
    what,
    group,
    suspended,
  });
  const { admin } = adminOf(({ method, request }, group) => {
    if (method === 'GetMessage')
      return { messages: group === 'b' ? [wire('m', 1)] : [], missingBytes: 0 };
    return request['fromPosition'] === 0
      ? {
          events: [event('DELIVERED', 'g'), event('DELIVERED', 'h'), event('DELIVERED', 'g')],
          groups: [],
          nextPosition: 7,
          missingBytes: 0,
        }
      : {
          events: [
            event('INVISIBLE_CHANGED', 'g', true),
            event('DELIVERED', 'g'),
            event('DELIVERED', 'g'),
            event('ACKED', 'g'),
          ],
          groups: [{ group: 'g', status: 'CONSUMED' }],
          nextPosition: 0,
          missingBytes: 0,
        };
  });
  const [trace] = await admin.trace('m', '');
  expect(trace!.events.map(({ what, group, attempt }) => `${what} ${group} ${attempt}`)).toEqual([
    'DELIVERED g 1',
    'DELIVERED h 1',
    'DELIVERED g 2',
    'INVISIBLE_CHANGED g 2',
    'DELIVERED g 2',
    'DELIVERED g 3',
    'ACKED g 3',
  ]);
  expect(trace).toMatchObject({ complete: true, groups: [{ group: 'g', status: 'CONSUMED' }] });
});

test('not found is said as honestly as it can be', async () => {
  const { admin } = adminOf(() => ({ messages: [], missingBytes: 5 }));
  await expect(admin.trace('m', 't')).rejects.toThrow('10 bytes of the log could not be searched');
  expect(messageMissing('m', '', 0).message).toContain('never stored, or retention');
});
