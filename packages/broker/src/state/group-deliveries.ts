import { isLiteQueueId } from '../lite/lite-queue-ids.js';
import { newDelivery, writeDeliveryRow, type Delivery } from '../pop/rows.js';

/** Where a group stands in one queue. */
export class DeliveryRow {
  readonly group: string;
  readonly topic: string;
  readonly queueId: number;
  changed = false;
  /** It changed in a way that those who wait should know of; see `Tables.takeTouched`. */
  touched = false;
  state: Delivery;

  constructor(group: string, topic: string, queueId: number, state: Delivery) {
    this.group = group;
    this.topic = topic;
    this.queueId = queueId;
    this.state = state;
  }

  get key(): string {
    return deliveryKey(this.group, this.topic, this.queueId);
  }

  encode(): Buffer {
    return writeDeliveryRow(this.state);
  }
}

function deliveryKey(group: string, topic: string, queueId: number): string {
  return `delivery/${group}/${topic}/${queueId}`;
}

/** A row on its way to the store. */
export interface SavedRow {
  readonly key: string;
  encode(): Buffer;
}

/** A group on one topic. */
interface Places {
  readonly rows: Map<number, DeliveryRow>;
  /** Committed offsets of lite topics in which nothing is in flight: a number each instead of a row. */
  readonly resting: Map<number, number>;
  /** Lite topics whose row, awake or at rest, is not saved as it is now. */
  readonly unsaved: Set<number>;
}

/**
 * Where one consumer group stands, by topic and queue. Lite topics are many, and nothing happens in most of them: those
 * that are quiet are put to rest at once, and wake when they are asked for. Rest does not show in what is saved.
 */
export class GroupDeliveries {
  readonly #group: string;
  readonly #topics = new Map<string, Places>();

  constructor(group: string) {
    this.#group = group;
  }

  /** @param fifo the group's kind of delivery, for one that wakes */
  get(topic: string, queueId: number, fifo: boolean): DeliveryRow | undefined {
    const places = this.#topics.get(topic);
    const row = places?.rows.get(queueId);
    if (row !== undefined || places === undefined) return row;
    const offset = places.resting.get(queueId);
    return offset === undefined ? undefined : this.#wake(topic, places, queueId, fifo, offset);
  }

  /** The row, and whether it was made for this call. */
  open(
    topic: string,
    queueId: number,
    fifo: boolean,
  ): { readonly row: DeliveryRow; readonly made: boolean } {
    const known = this.get(topic, queueId, fifo);
    if (known !== undefined) return { row: known, made: false };
    let places = this.#topics.get(topic);
    if (places === undefined) {
      places = { rows: new Map(), resting: new Map(), unsaved: new Set() };
      this.#topics.set(topic, places);
    }
    const row = new DeliveryRow(this.#group, topic, queueId, newDelivery(fifo));
    places.rows.set(queueId, row);
    return { row, made: true };
  }

  /** Without waking anything: where everything below is consumed, and how many messages are unacknowledged. */
  progress(
    topic: string,
    queueId: number,
  ): { readonly committedOffset: number; readonly open: number } {
    const places = this.#topics.get(topic);
    const state = places?.rows.get(queueId)?.state;
    if (state !== undefined)
      return { committedOffset: state.committedOffset, open: state.openCount };
    return { committedOffset: places?.resting.get(queueId) ?? 0, open: 0 };
  }

  /**
   * Remembers that the row of a lite topic has to be saved, and puts it to rest when it is quiet: from here on it must
   * not be changed, but asked for again.
   * @returns whether it is one more
   */
  liteChanged(row: DeliveryRow): boolean {
    const places = this.#topics.get(row.topic);
    if (places?.rows.get(row.queueId) !== row) return false;
    const { size } = places.unsaved;
    const isNew = places.unsaved.add(row.queueId).size > size;
    this.rest(row);
    return isNew;
  }

  /** Rows that {@link liteChanged} was told of since the last call, as they are now. */
  *takeLiteChanged(fifo: boolean): Iterable<SavedRow> {
    for (const [topic, { rows, resting, unsaved }] of this.#topics) {
      for (const queueId of unsaved) {
        const row = rows.get(queueId);
        yield row ?? this.#resting(topic, queueId, fifo, resting.get(queueId)!);
      }
      unsaved.clear();
    }
  }

  /** If it is a quiet one of a lite topic, only its offset is kept. */
  rest(row: DeliveryRow): void {
    // One that was put somewhere remembers when: that does not fit into a number.
    if (!isLiteQueueId(row.queueId) || !row.state.quiet || row.state.epoch !== 0) return;
    const places = this.#topics.get(row.topic);
    if (places?.rows.get(row.queueId) !== row) return;
    places.rows.delete(row.queueId);
    places.resting.set(row.queueId, row.state.committedOffset);
  }

  /** Whether the group was ever at the topic. */
  has(topic: string): boolean {
    return this.#topics.has(topic);
  }

  /** Rows that are not at rest. */
  *active(): Iterable<DeliveryRow> {
    for (const places of this.#topics.values()) yield* places.rows.values();
  }

  /** Topics that the group has been at, with the rows that are not at rest. */
  *topics(): Iterable<readonly [topic: string, rows: Iterable<DeliveryRow>]> {
    for (const [topic, places] of this.#topics) yield [topic, places.rows.values()];
  }

  /** Every row; those at rest wake with the new kind of delivery that the group has now. */
  *wakeAll(fifo: boolean): Iterable<DeliveryRow> {
    for (const [topic, places] of this.#topics) {
      for (const [queueId, offset] of places.resting) {
        this.#wake(topic, places, queueId, fifo, offset);
      }
      yield* places.rows.values();
    }
  }

  /** Every row as it is saved. */
  *saved(fifo: boolean): Iterable<SavedRow> {
    for (const [topic, places] of this.#topics) {
      yield* places.rows.values();
      for (const [queueId, offset] of places.resting) {
        yield this.#resting(topic, queueId, fifo, offset);
      }
    }
  }

  /** Forgets a queue, a topic, or everything. @returns the keys of the rows that are gone */
  drop(topic?: string, queueId?: number): string[] {
    const keys: string[] = [];
    for (const [name, { rows, resting, unsaved }] of this.#topics) {
      if (topic !== undefined && name !== topic) continue;
      const ids = queueId === undefined ? [...rows.keys(), ...resting.keys()] : [queueId];
      for (const id of ids) {
        if (!rows.delete(id) && !resting.delete(id)) continue;
        unsaved.delete(id);
        keys.push(deliveryKey(this.#group, name, id));
      }
      if (rows.size + resting.size === 0) this.#topics.delete(name);
    }
    return keys;
  }

  #resting(topic: string, queueId: number, fifo: boolean, offset: number): SavedRow {
    return {
      key: deliveryKey(this.#group, topic, queueId),
      encode: () => writeDeliveryRow(newDelivery(fifo, offset)),
    };
  }

  #wake(
    topic: string,
    places: Places,
    queueId: number,
    fifo: boolean,
    offset: number,
  ): DeliveryRow {
    const row = new DeliveryRow(this.#group, topic, queueId, newDelivery(fifo, offset));
    places.resting.delete(queueId);
    places.rows.set(queueId, row);
    return row;
  }
}
