import { inspect } from 'node:util';
import { parentPort } from 'node:worker_threads';
import { type WorkerAnswer } from './test-worker.js';

/** The worker's side of {@link TestWorker}: answers each question that comes from the test. */
export function serve<Q, A>(run: (question: Q) => Promise<A>): void {
  const port = parentPort!;
  const tell = (answer: WorkerAnswer<A>): void => port.postMessage(answer);
  port.on('message', (question: Q) => {
    run(question).then(
      (answer) => tell({ ok: true, answer }),
      (error: unknown) => tell({ ok: false, error: inspect(error, { depth: 4 }) }),
    );
  });
}
