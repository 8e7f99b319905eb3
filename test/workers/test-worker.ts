import { join } from 'node:path';
import { Worker } from 'node:worker_threads';

const BUNDLES = join(__dirname, '..', '..', '.build', 'test-workers');

/** What a worker answers: values that a structured clone keeps. */
export type WorkerAnswer<A> =
  | { readonly ok: true; readonly answer: A }
  /** The call failed; errors lose their class on the way, so it is text. */
  | { readonly ok: false; readonly error: string };

interface Waiting<A> {
  readonly resolve: (answer: A) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Runs what takes minutes of computing in a thread, as one bundle (`scripts/bundle.mjs --test-workers`): in Jest's own
 * context the same code takes about twice as long, because every look-up of a global and of an import is a call there.
 * The thread starts with the first question, keeps what it has compiled from one to the next, and answers one at a time.
 */
export class TestWorker<Q, A> {
  readonly #path: string;
  #worker: Worker | null = null;
  #waiting: Waiting<A> | null = null;

  /** @param name of the bundle */
  constructor(name: string) {
    this.#path = join(BUNDLES, `${name}.js`);
  }

  /** @throws Error when the worker's call failed, with its text; when the worker ended, or is not through with another */
  ask(question: Q): Promise<A> {
    return new Promise<A>((resolve, reject) => {
      if (this.#waiting !== null) {
        // The question before ran into its test's timeout.
        reject(new Error('the worker is still busy with the question before'));
        return;
      }
      this.#waiting = { resolve, reject };
      this.#worker ??= this.#start();
      this.#worker.postMessage(question);
    });
  }

  /** Ends the thread, whatever it does. */
  async stop(): Promise<void> {
    await this.#worker?.terminate();
  }

  #start(): Worker {
    const worker = new Worker(this.#path);
    worker.on('message', (message: WorkerAnswer<A>) => {
      const waiting = this.#waiting;
      this.#waiting = null;
      if (message.ok) waiting?.resolve(message.answer);
      else waiting?.reject(new Error(message.error));
    });
    worker.on('error', (error) => this.#ended(error));
    worker.on('exit', (code) => this.#ended(new Error(`the worker ended with code ${code}`)));
    return worker;
  }

  #ended(error: Error): void {
    this.#worker = null;
    this.#waiting?.reject(error);
    this.#waiting = null;
  }
}
