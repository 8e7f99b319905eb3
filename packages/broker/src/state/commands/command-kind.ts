import { type TermSink } from '@raftmq/broker-store';
import { type BinaryReader, type BinaryWriter } from '../../pop/binary.js';
import { type Tables } from '../tables.js';

/** The entry that a command came in. */
export interface ApplyContext {
  readonly tables: Tables;
  readonly index: number;
  /** The entry's store timestamp: the only clock there is. */
  readonly nowMs: number;
  /** A topic came to be, changed or went away. */
  topicChanged(name: string, deleted: boolean): void;
}

/**
 * One kind of command: its number in the log, its bytes, and what it does. Numbers are for ever: a kind that is no longer
 * written is still read.
 */
export interface CommandKind<C> {
  /** 1 .. 255, unique among all kinds. */
  readonly number: number;
  write(writer: BinaryWriter, command: C): void;
  /** Copies what it keeps. */
  read(reader: BinaryReader): C;
  /**
   * Changes the tables. The same on every replica: it looks at the tables, the command, the entry's index and time, and
   * at nothing else.
   * @returns what the proposal that waits for the command gets
   */
  apply(context: ApplyContext, command: C): unknown;
  /**
   * Names the messages that the command is about, so that a message trace finds it; left out when it is about none.
   * @param position of the command's entry
   */
  terms?(command: C, sink: TermSink, position: number): void;
}
