import { type TermSink } from '@raftmq/broker-store';
import { isStoredMessage, StoredView } from '@raftmq/protocol';
import { ENTRY_HEADER_SIZE_BYTES, entryType, type Entry } from '@raftmq/raft';
import { commandTerms, decodeCommand, isCommandMagic } from './commands/index.js';

/** Where the terms of applied entries go; see {@link BrokerStateMachine.setTermSink}. */
export interface AppliedTermSink extends TermSink {
  /** The entry that ends at `end` is applied, and its terms were given. */
  applied(end: number): void;
}

/** Gives `sink` the terms of an entry, the same ones as when it is applied. */
export function collectTerms(entry: Entry, sink: TermSink): void {
  if (entry.type !== entryType.records) return;
  const { frame } = entry;
  const message = new StoredView();
  let at = ENTRY_HEADER_SIZE_BYTES;
  for (let left = entry.recordCount; left > 0; left--) {
    const sizeBytes = frame.readUInt32BE(at);
    if (isStoredMessage(frame, at)) {
      message.read(frame, at, sizeBytes);
      sink.message(message, entry.position + at);
    } else if (isCommandMagic(frame.readUInt32BE(at + 4))) {
      commandTerms(decodeCommand(frame, at, sizeBytes), sink, entry.position);
    }
    at += sizeBytes;
  }
}
