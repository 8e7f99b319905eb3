import { crc32, isMqError } from '@raftmq/base';
import { type Entry, type RoleStatus, type StateMachine } from '@raftmq/raft';
import { type Application } from './application.js';

export interface MachineWatcher {
  /** @param digest a sum over the results, and now and then over the whole state */
  applied(entry: Entry, results: readonly unknown[], digest: string): void;
  roleChanged(status: RoleStatus): void;
}

/** Passes everything on to an application's state machine, and tells what came of it: on followers too. */
export class WatchedMachine implements StateMachine {
  readonly #application: Application;
  readonly #machine: StateMachine;
  readonly #digestAt: (index: number) => boolean;
  readonly #watcher: MachineWatcher;

  constructor(
    application: Application,
    digestAt: (index: number) => boolean,
    watcher: MachineWatcher,
  ) {
    this.#application = application;
    this.#machine = application.stateMachine;
    this.#digestAt = digestAt;
    this.#watcher = watcher;
  }

  get appliedIndex(): number {
    return this.#machine.appliedIndex;
  }

  apply(entry: Entry, results: unknown[] | null): void {
    const own = results ?? [];
    const from = own.length;
    this.#machine.apply(entry, own);
    const made = own.slice(from);
    const state = this.#digestAt(entry.index) ? this.#application.digest() : '';
    this.#watcher.applied(entry, made, `${sumOf(made)}/${state}`);
  }

  roleChanged(status: RoleStatus): void {
    this.#machine.roleChanged(status);
    this.#watcher.roleChanged(status);
  }

  applied(): void {
    this.#machine.applied();
  }
}

/** Results are plain values, numbers and errors with a code; nothing holds errors inside. */
function sumOf(results: readonly unknown[]): string {
  if (results.length === 0) return '';
  const plain = results.map((result) =>
    isMqError(result) ? { code: result.code, text: result.message } : result,
  );
  const text = JSON.stringify(plain);
  return crc32(Buffer.from(text)).toString(16);
}
