import { beforeEach, expect, test } from '@jest/globals';
import { AnswerStream } from './answer-stream.js';
import { type ClientCall } from './http2/client-call.js';
import { RpcError } from './status.js';

const KIB = 1024;

let said: string[] = [];
let answers: AnswerStream;

beforeEach(() => {
  said = [];
  answers = new AnswerStream();
  const call = {
    pause: () => said.push('pause'),
    resume: () => said.push('resume'),
    fail(error: Error) {
      said.push(`fail ${(error as RpcError).status}`);
      answers.closed(error);
    },
  };
  answers.attach(call as unknown as ClientCall);
});

const done = { value: undefined, done: true };

test('messages wait for their reader, in order, and then the end', async () => {
  answers.message(Buffer.from('a'));
  answers.message(Buffer.alloc(0));
  expect((await answers.next()).value?.toString()).toBe('a');
  expect((await answers.next()).value?.length).toBe(0);
  const next = answers.next();
  answers.message(Buffer.from('c'));
  expect((await next).value?.toString()).toBe('c');
  const last = answers.next();
  answers.closed(null);
  expect(await last).toEqual(done);
  expect(await answers.next()).toEqual(done);
  expect(said).toEqual([]);
});

test('a failure comes behind what was received, and once', async () => {
  answers.message(Buffer.from('a'));
  answers.closed(new RpcError('ABORTED', 'no'));
  expect((await answers.next()).value?.toString()).toBe('a');
  await expect(answers.next()).rejects.toMatchObject({ status: 'ABORTED' });
  expect(await answers.next()).toEqual(done);
});

test('a reader that waits hears of a failure', async () => {
  const next = answers.next();
  answers.closed(new RpcError('ABORTED', 'no'));
  await expect(next).rejects.toMatchObject({ status: 'ABORTED' });
});

test('a server that is faster than the reader is stopped at 1 MiB, and goes on at half of it', async () => {
  let count = 0;
  while (said.length === 0) {
    answers.message(Buffer.alloc(64 * KIB));
    count++;
  }
  expect([count, said]).toEqual([16, ['pause']]);
  // What was under way still comes.
  answers.message(Buffer.alloc(64 * KIB));
  for (let i = 0; i < 9; i++) await answers.next();
  expect(said).toEqual(['pause']);
  await answers.next();
  expect(said).toEqual(['pause', 'resume']);
  for (let i = 0; i < 7; i++) await answers.next();
  expect(said).toEqual(['pause', 'resume']);
});

test('messages without content are not for nothing', () => {
  let count = 0;
  while (said.length === 0 && count < 1_000_000) {
    answers.message(Buffer.alloc(0));
    count++;
  }
  expect(count).toBeLessThan(10_000);
});

test('a loop that is left early gives the call up, and is over', async () => {
  answers.message(Buffer.from('a'));
  answers.message(Buffer.from('b'));
  for await (const message of answers) {
    expect(message.toString()).toBe('a');
    break;
  }
  expect(said).toEqual(['fail CANCELLED']);
  expect(await answers.next()).toEqual(done);
});
