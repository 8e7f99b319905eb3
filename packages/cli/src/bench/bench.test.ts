import { describe, expect, test } from '@jest/globals';
import { decodeSendMessageRequest } from '@raftmq/protocol';
import { MemoryOutput } from '../testing.js';
import { runLoad } from './pacer.js';
import { LoadRecorder, printResult } from './recorder.js';
import { SendTemplate, STAMP_BYTES } from './send-template.js';

const context = { peer: '', nowMs: 0 };

describe('SendTemplate', () => {
  test('every copy is a valid request with ids of its own and a stamp', () => {
    const prefix = '01'.padEnd(26, 'A');
    const template = new SendTemplate('bench', 3, 100, prefix);
    const first = decodeSendMessageRequest(template.next(12.5), context);
    const second = decodeSendMessageRequest(template.next(99), context);
    const ids = [...first.messages, ...second.messages].map((message) => message.messageId);
    expect(new Set(ids).size).toBe(6);
    for (const id of ids) expect(id).toMatch(/^01A{24}[0-9A-F]{8}$/);
    for (const message of first.messages) {
      expect(message.body).toHaveLength(100);
      expect(message.body.subarray(0, 8).equals(template.runId)).toBe(true);
      expect(message.body.readDoubleBE(8)).toBe(12.5);
    }
    expect(second.messages[2]!.body.readDoubleBE(8)).toBe(99);
    expect(second.topicName).toBe('bench');
  });

  test('a request that comes back is used again, with ids and a stamp of its own', () => {
    const template = new SendTemplate('bench', 2, 100, '01'.padEnd(26, 'A'));
    const idsOf = (bytes: Buffer): string[] =>
      decodeSendMessageRequest(bytes, context).messages.map(({ messageId }) => messageId);
    const request = template.next(1);
    const ids = idsOf(request);
    template.recycle(request);
    const again = template.next(2);
    expect(again).toBe(request);
    expect(idsOf(again).filter((id) => ids.includes(id))).toEqual([]);
    expect(decodeSendMessageRequest(again, context).messages[1]!.body.readDoubleBE(8)).toBe(2);
    expect(template.next(3)).not.toBe(again);
  });

  test('a body shorter than the stamp is left alone', () => {
    const template = new SendTemplate('bench', 2, STAMP_BYTES - 1, 'ID');
    const [a, b] = [template.next(1), template.next(2)].map(
      (bytes) => decodeSendMessageRequest(bytes, context).messages[1]!.body,
    );
    expect(a!.equals(b!)).toBe(true);
  });
});

describe('runLoad', () => {
  const never = new AbortController().signal;

  test('keeps the places full in a closed loop', async () => {
    let running = 0;
    let most = 0;
    let done = 0;
    const notStarted = await runLoad(
      { concurrency: 4, requestsPerSecond: 0, durationMs: 30, signal: never },
      async () => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setImmediate(resolve));
        running--;
        done++;
      },
    );
    expect(most).toBe(4);
    expect(running).toBe(0);
    expect(done).toBeGreaterThan(4);
    expect(notStarted).toBe(0);
  });

  test('with a rate, start times are fixed in advance', async () => {
    const intended: number[] = [];
    await runLoad(
      { concurrency: 100, requestsPerSecond: 500, durationMs: 100, signal: never },
      (intendedMs) => {
        intended.push(intendedMs);
        return Promise.resolve();
      },
    );
    expect(intended.length).toBeGreaterThan(1);
    expect(intended.length).toBeLessThanOrEqual(50);
    for (let i = 1; i < intended.length; i++) {
      expect(intended[i]! - intended[i - 1]!).toBeCloseTo(2, 6);
    }
  });

  test('a server that does not answer does not move the later start times', async () => {
    const waiting: (() => void)[] = [];
    const intended: number[] = [];
    const load = runLoad(
      { concurrency: 2, requestsPerSecond: 1_000, durationMs: 600, signal: never },
      (intendedMs) => {
        intended.push(intendedMs);
        return new Promise<void>((resolve) => waiting.push(resolve));
      },
    );
    while (waiting.length < 2) await new Promise((resolve) => setImmediate(resolve));
    while (performance.now() < intended[0]! + 30) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(intended).toHaveLength(2);
    waiting.shift()!();
    while (intended.length < 3) await new Promise((resolve) => setImmediate(resolve));
    expect(intended[2]! - intended[0]!).toBeCloseTo(2, 6);
    while (performance.now() < intended[0]! + 610) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (const answer of waiting.splice(0)) answer();
    expect(await load).toBe(597);
  });

  test('ends early when told so', async () => {
    const controller = new AbortController();
    const load = runLoad(
      { concurrency: 1, requestsPerSecond: 0, durationMs: 3_600_000, signal: controller.signal },
      () => new Promise((resolve) => setImmediate(resolve)),
    );
    controller.abort();
    expect(await load).toBe(0);
  });
});

describe('LoadRecorder', () => {
  test('the result is one line with fixed names', () => {
    const recorder = new LoadRecorder(1000);
    for (let i = 1; i <= 1000; i++) recorder.succeeded(1, i / 10);
    recorder.failedWith(3, 'no leader');
    recorder.failedWith(1, 'later');
    const output = new MemoryOutput();
    expect(printResult(output, recorder, 2_000, true)).toBe(0);
    const line = output.dataLines.at(-1)!;
    expect(line).toMatch(
      /^\{"ok":1000,"failed":4,"messagesPerSecond":500,"bytesPerSecond":500000,"latencyMs":\{"p50":[\d.]+,"p99":[\d.]+,"p999":[\d.]+,"max":[\d.]+\}\}$/,
    );
    const { latencyMs } = recorder.result(2_000);
    expect(latencyMs.p50).toBeCloseTo(50, 0);
    expect(latencyMs.p99).toBeCloseTo(99, 0);
    expect(latencyMs.max).toBeCloseTo(100, 0);
    expect(output.noteLines).toEqual(['first failure: no leader']);
  });

  test('counts a batch as its messages, and cuts what is longer than its range', () => {
    const recorder = new LoadRecorder(1);
    recorder.succeeded(10, 1e9);
    recorder.succeeded(1, 0);
    expect(recorder.result(1_000)).toMatchObject({ ok: 11, messagesPerSecond: 11 });
    expect(recorder.result(1_000).latencyMs.max).toBeCloseTo(600_000, -3);
  });

  test('nothing done is a failure', () => {
    const recorder = new LoadRecorder(1);
    const output = new MemoryOutput();
    expect(printResult(output, recorder, 0, false)).toBe(1);
    expect(output.dataLines[0]).toBe('0 messages done, 0 failed');
  });

  test('progress tells of the time since the last line', () => {
    const recorder = new LoadRecorder(1);
    recorder.succeeded(2_500, 4);
    expect(recorder.progress(1_000, 1_000)).toBe('   1 s       2,500 msg/s  p99 4.00 ms  failed 0');
    expect(recorder.progress(2_000, 1_000)).toBe('   2 s           0 msg/s  p99 0.00 ms  failed 0');
  });
});
