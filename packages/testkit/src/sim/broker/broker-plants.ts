import { assert, varintSizeBytes } from '@raftmq/base';
import { type RowChanges, type StateStore } from '@raftmq/broker-store';
import {
  decodeCommand,
  encodeCommand,
  isCommandMagic,
  type Command,
} from '@raftmq/broker/internal';
import {
  ENTRY_HEADER_SIZE_BYTES,
  entryType,
  type Entry,
  type RoleStatus,
  type StateMachine,
} from '@raftmq/raft';
import { type Plant } from '../plants.js';

/** The state machine, with the mistake in it that the plant's name says. */
export function plantInMachine(plant: Plant | null, machine: StateMachine): StateMachine {
  switch (plant) {
    case 'ack-any-lease':
      return new RewritingMachine(machine, (command) => {
        if (command.kind !== 'ack') return command;
        const targets = command.targets.map(({ offset, leaseId }) => ({
          offset,
          leaseId: largestOfSize(leaseId),
        }));
        return { ...command, targets };
      });
    case 'attempts-forgotten':
      return new RewritingMachine(machine, (command) => {
        if (command.kind !== 'deliver' || command.attemptId === null) return command;
        return { ...command, attemptId: '?'.repeat(command.attemptId.length) };
      });
    case 'renewals-ignored':
      return new RewritingMachine(machine, (command) =>
        command.kind === 'renew-leases'
          ? { ...command, leaseIds: command.leaseIds.map(largestOfSize) }
          : command,
      );
    default:
      return machine;
  }
}

/** The store of the state's rows, with a mistake planted. */
export function plantInStore(plant: Plant | null, store: StateStore): StateStore {
  switch (plant) {
    case 'progress-not-saved':
      return savingStore(store, (index, rows, cold) =>
        store.save(index, withoutPuts(rows, 'delivery/'), cold),
      );
    case 'subscriptions-not-saved':
      return savingStore(store, (index, rows, cold) =>
        store.save(index, withoutPuts(rows, 'lite-client/'), cold),
      );
    case 'outcomes-not-saved':
      return savingStore(store, (index, rows, cold) =>
        store.save(index, rows, withoutPuts(cold, 'txn/')),
      );
    case 'fired-timers-kept':
      return savingStore(store, (index, rows, cold) =>
        store.save(index, rows, withoutDeletes(cold, 'timer/')),
      );
    case 'deleted-topics-kept':
      return savingStore(store, (index, rows, cold) =>
        store.save(index, withoutDeletes(rows, 'delivery/'), cold),
      );
    default:
      return store;
  }
}

function withoutPuts({ puts, deletes }: RowChanges, prefix: string): RowChanges {
  return { puts: new Map([...puts].filter(([key]) => !key.startsWith(prefix))), deletes };
}

function withoutDeletes({ puts, deletes }: RowChanges, prefix: string): RowChanges {
  return { puts, deletes: new Set([...deletes].filter((key) => !key.startsWith(prefix))) };
}

function savingStore(store: StateStore, save: StateStore['save']): StateStore {
  return {
    load: () => store.load(),
    save,
    coldGet: (key) => store.coldGet(key),
    coldRange: (from, before, countMax, bytesMax) =>
      store.coldRange(from, before, countMax, bytesMax),
    flush: () => store.flush(),
    close: () => store.close(),
  };
}

/** The largest number that is written in as many bytes as `value`. */
function largestOfSize(value: number): number {
  return 2 ** (7 * varintSizeBytes(value)) - 1;
}

/** Applies other commands of the same size than the log has; the log itself stays as it is. */
class RewritingMachine implements StateMachine {
  readonly #machine: StateMachine;
  readonly #rewrite: (command: Command) => Command;

  constructor(machine: StateMachine, rewrite: (command: Command) => Command) {
    this.#machine = machine;
    this.#rewrite = rewrite;
  }

  get appliedIndex(): number {
    return this.#machine.appliedIndex;
  }

  apply(entry: Entry, results: unknown[] | null): void {
    this.#machine.apply(entry.type === entryType.records ? this.#rewritten(entry) : entry, results);
  }

  roleChanged(status: RoleStatus): void {
    this.#machine.roleChanged(status);
  }

  applied(): void {
    this.#machine.applied();
  }

  #rewritten(entry: Entry): Entry {
    const frame = Buffer.from(entry.frame);
    let at = ENTRY_HEADER_SIZE_BYTES;
    for (let left = entry.recordCount; left > 0; left--) {
      const sizeBytes = frame.readUInt32BE(at);
      if (isCommandMagic(frame.readUInt32BE(at + 4))) {
        const rewritten = encodeCommand(this.#rewrite(decodeCommand(frame, at, sizeBytes)));
        assert(rewritten.length === sizeBytes, 'records behind this one keep their places');
        rewritten.copy(frame, at);
      }
      at += sizeBytes;
    }
    return { ...entry, frame };
  }
}
