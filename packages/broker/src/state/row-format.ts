import { MqError } from '@raftmq/base';
import { BinaryReader } from '../pop/binary.js';

/** First byte of every row of the tables. */
export const rowVersion = 1;

/**
 * A reader behind the version byte of a row.
 * @throws MqError VERSION_UNSUPPORTED when another version wrote it
 */
export function openRow(row: Buffer, key: string): BinaryReader {
  const reader = new BinaryReader(row, 0, row.length, `row ${key}`);
  const version = reader.byte();
  if (version !== rowVersion) {
    throw new MqError(
      'VERSION_UNSUPPORTED',
      `row ${key} has version ${version}: written by a newer version of RaftMQ`,
    );
  }
  return reader;
}
