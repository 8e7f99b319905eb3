import { spawn, type ChildProcess } from 'node:child_process';

/** How a conformance program ended. */
export interface ProgramResult {
  /** What it printed as its facts; null when it failed. */
  readonly facts: Readonly<Record<string, unknown>> | null;
  /** Why there are no facts; '' when there are. */
  readonly failure: string;
}

export interface ProgramOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly timeoutMs: number;
  readonly env?: Readonly<Record<string, string>>;
}

const OUTPUT_MAX = 20_000;

/**
 * One program of an SDK as a child process. It prints JSON lines: `{"mark":"middle"}` when it waits half way, and its
 * facts as the last line. It is killed when it takes too long.
 */
export class Program {
  /** Resolves when the program waits half way, or has ended. */
  readonly middle: Promise<void>;
  readonly ended: Promise<ProgramResult>;
  readonly #child: ChildProcess;
  #stdout = '';
  #stderr = '';
  #reachedMiddle: () => void = () => {};

  constructor(options: ProgramOptions) {
    this.middle = new Promise((resolve) => {
      this.#reachedMiddle = resolve;
    });
    this.#child = spawn(options.command, [...options.args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
    });
    this.#child.stdin!.on('error', () => {
      // A program that has ended does not listen.
    });
    this.ended = this.#watch(options.timeoutMs);
  }

  /** Lets a program that waits half way go on. */
  goOn(): void {
    this.#child.stdin!.write('go\n');
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }

  #watch(timeoutMs: number): Promise<ProgramResult> {
    this.#child.stdout!.on('data', (data: Buffer) => {
      this.#stdout += data.toString();
      if (this.#stdout.includes('{"mark":"middle"}')) this.#reachedMiddle();
    });
    this.#child.stderr!.on('data', (data: Buffer) => {
      this.#stderr = (this.#stderr + data.toString()).slice(-OUTPUT_MAX);
    });
    return new Promise((resolve) => {
      let late = '';
      const timer = setTimeout(() => {
        late = `killed after ${timeoutMs} ms\n`;
        this.stop();
      }, timeoutMs);
      const end = (failure: string): void => {
        clearTimeout(timer);
        this.#reachedMiddle();
        resolve(this.#result(failure));
      };
      this.#child.on('error', (error) => end(error.message));
      this.#child.on('close', (code) =>
        end(code === 0 ? '' : `${late}exit code ${code}\n${this.#stderr}`),
      );
    });
  }

  #result(failure: string): ProgramResult {
    if (failure !== '') return { facts: null, failure };
    const last = this.#stdout.trim().split('\n').pop() ?? '';
    try {
      return { facts: JSON.parse(last) as Record<string, unknown>, failure: '' };
    } catch {
      return { facts: null, failure: `no facts but: ${last}\n${this.#stderr}` };
    }
  }
}
