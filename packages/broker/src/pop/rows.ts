import { MqError } from '@raftmq/base';
import { BinaryReader, BinaryWriter } from './binary.js';
import { ConcurrentDelivery } from './concurrent-delivery.js';
import { OrderedDelivery } from './ordered-delivery.js';

/** Either way of delivery. */
export type Delivery = ConcurrentDelivery | OrderedDelivery;

const ROW_VERSION = 1;

/**
 * A delivery state as a row: version, kind (0 concurrent, 1 ordered), then what the state writes.
 * Canonical: equal states give equal bytes on every replica.
 */
export function writeDeliveryRow(delivery: Delivery): Buffer {
  const writer = new BinaryWriter();
  writer.byte(ROW_VERSION);
  writer.byte(delivery.kind === 'ordered' ? 1 : 0);
  delivery.write(writer);
  return writer.finish();
}

/**
 * Reads a row.
 * @throws MqError VERSION_UNSUPPORTED or LOG_CORRUPTED
 */
export function readDeliveryRow(row: Buffer, what: string): Delivery {
  const reader = new BinaryReader(row, 0, row.length, what);
  const version = reader.byte();
  if (version !== ROW_VERSION) {
    throw new MqError(
      'VERSION_UNSUPPORTED',
      `${what} has version ${version}: written by a newer version of RaftMQ`,
    );
  }
  const ordered = reader.flag();
  const delivery = ordered ? OrderedDelivery.read(reader) : ConcurrentDelivery.read(reader);
  reader.finish();
  return delivery;
}

/** A state with nothing in flight; at the beginning of the queue unless told otherwise. */
export function newDelivery(ordered: boolean, committedOffset = 0, epoch = 0): Delivery {
  return ordered
    ? new OrderedDelivery(committedOffset, epoch)
    : new ConcurrentDelivery(committedOffset, epoch);
}
