import { assert } from '@raftmq/base';
import { type Entry } from '../entry.js';
import { type RaftCore } from '../raft-core.js';
import { type NodeId } from '../types.js';
import { type MemoryLog } from './memory-log.js';

/** The one true history of a group, and the promises that every step is checked against. */
export class History {
  readonly #leaders = new Map<number, NodeId>();
  readonly #committed: Entry[] = [];
  readonly #lastChecked = new Map<RaftCore, { term: number; commitIndex: number }>();
  readonly #entries = new Map<string, { entry: Entry; previousTerm: number }>();

  /** Index of the last entry that any replica knows to be committed. */
  get committedIndex(): number {
    return this.#committed.length;
  }

  /**
   * Checks one replica after its step.
   * @param disks the logs on the disk of each replica, with one that it lost since
   */
  stepped(core: RaftCore, log: MemoryLog, disks: readonly (readonly MemoryLog[])[]): void {
    const before = this.#lastChecked.get(core) ?? { term: -1, commitIndex: 0 };
    if (core.role === 'leader' && core.term !== before.term) this.#elected(core, log);
    this.#checkEntries(log, before.commitIndex);
    for (let index = before.commitIndex + 1; index <= core.commitIndex; index++) {
      if (index >= log.firstIndex) this.#commit(index, log.at(index), disks);
    }
    const term = core.role === 'leader' ? core.term : -1;
    this.#lastChecked.set(core, { term, commitIndex: core.commitIndex });
  }

  /**
   * A served read sees everything that anybody knew to be committed when it was asked (R10).
   * @param committedWhenAsked {@link committedIndex} at that moment
   */
  readServed(index: number, committedWhenAsked: number): void {
    assert(index <= this.committedIndex, 'a read is served from committed entries only');
    assert(index >= committedWhenAsked, 'a read sees what was committed before it was asked');
  }

  /** What was never committed may come again with other content. */
  forgetUncommitted(): void {
    for (const [key, { entry }] of this.#entries) {
      if (entry.index > this.committedIndex) this.#entries.delete(key);
    }
  }

  #elected(core: RaftCore, log: MemoryLog): void {
    const other = this.#leaders.get(core.term);
    assert(other === undefined || other === core.id, `one leader in term ${core.term}`);
    this.#leaders.set(core.term, core.id);
    assert(log.lastIndex >= this.#committed.length, 'a leader has every committed entry');
    for (let index = log.firstIndex; index <= this.#committed.length; index++) {
      const same = log.at(index).frame.equals(this.#committed[index - 1]!.frame);
      assert(same, `a leader has the committed entry ${index}`);
    }
  }

  /** Log matching: an index and a term name one entry, and the same one before it. */
  #checkEntries(log: MemoryLog, fromIndex: number): void {
    for (let index = Math.max(fromIndex, log.firstIndex); index <= log.lastIndex; index++) {
      const entry = log.at(index);
      const previousTerm = log.termAt(index - 1);
      const key = `${index}@${entry.term}`;
      const known = this.#entries.get(key);
      if (known === undefined) {
        this.#entries.set(key, { entry, previousTerm });
        continue;
      }
      assert(known.previousTerm === previousTerm, `one entry before ${key}`);
      assert(known.entry === entry || known.entry.frame.equals(entry.frame), `one entry ${key}`);
    }
  }

  #commit(index: number, entry: Entry, disks: readonly (readonly MemoryLog[])[]): void {
    const known = this.#committed[index - 1];
    if (known !== undefined) {
      assert(known.frame.equals(entry.frame), `entry ${index} is committed once`);
      return;
    }
    assert(index === this.#committed.length + 1, 'entries are committed in order');
    this.#committed.push(entry);
    let holders = 0;
    for (const logs of disks) {
      const holds = (log: MemoryLog): boolean =>
        log.lastIndex >= index &&
        (log.firstIndex > index || log.at(index).frame.equals(entry.frame));
      if (logs.some(holds)) holders++;
    }
    assert(
      holders > disks.length / 2,
      `entry ${index} is on the disks of a majority when committed`,
    );
  }
}
