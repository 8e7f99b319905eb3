import { assert, readInt64, writeInt64, type Disk, type Logger } from '@raftmq/base';
import { type NodeId } from '../core/types.js';
import { type StandingStore } from '../ports.js';
import { TwoSlotFile, type TwoSlotFormat } from './two-slot-file.js';

/** Who a replica is, as far as its group has to know (R22). */
export interface Life {
  /** Random, made with the data directory. */
  readonly incarnation: string;
  /** Index of the entry with which a leader admitted it; 0 when it never had to recover. */
  readonly admittedAt: number;
  /** How often a process was started on this data directory. */
  readonly starts: number;
  /** Random, of one run of a process. */
  readonly session: string;
}

/**
 * `peers-a` and `peers-b`, two slots (see {@link TwoSlotFormat}) with this payload:
 *
 *   offset size field
 *        0    1 standing: 0 new, 1 takes part, 2 recovering
 *        1    1 count of peers
 *        2    6 reserved, 0
 *        8    8 admittedAt
 *       16    8 starts
 *       24      per peer: id 4, flags 1 (1 = it knows us, 2 = we know it), admittedAt 8, starts 8,
 *               incarnation and session, each with its length in 1 byte in front
 */
const FORMAT: TwoSlotFormat = {
  names: ['peers-a', 'peers-b'],
  magic: 0x524d5150,
  formatVersion: 1,
  payloadSizeBytes: 2028,
  content: 'what is known of the peers',
  missingAdvice:
    'But this replica has met its peers before: without this knowledge it could vote for one that lost its disk. ' +
    'Restore the directory, or start this replica with an empty data directory.',
  damagedAdvice:
    'Without this knowledge this replica could vote for one that lost its disk. Restore the directory, or start this ' +
    'replica with an empty data directory.',
};
const STANDINGS = ['new', 'takes-part', 'recovering'] as const;
const KNOWS_US = 1;
const KNOWN = 2;
/** Longest incarnation or session, in bytes of UTF-8. */
export const LIFE_TEXT_SIZE_BYTES_MAX = 64;

type Standing = (typeof STANDINGS)[number];

interface Peer {
  life: Life | null;
  /** It has this replica, as it is now, on its disk. */
  knowsUs: boolean;
}

export interface PeerBookOptions {
  readonly disk: Disk;
  /** `<data>/raft`. Created when missing. */
  readonly directory: string;
  readonly logger: Logger;
  /** This data directory has met peers before: missing files are refused. */
  readonly mustExist: boolean;
  /** The other replicas of the group; none = it takes part from the beginning. */
  readonly peers: readonly NodeId[];
  /** As in {@link Life}; asked when the book is open, since it has to be there before its data directory has a name. */
  readonly incarnation: () => string;
  readonly session: string;
  /** A write or sync failed: the process must stop. */
  readonly onFailure: (error: unknown) => void;
}

/**
 * What a replica and its peers know of each other, kept on disk, so that one that lost its disk cannot pass for what it
 * was before (R22). `docs/adr/0006-lost-disk.md` tells why these rules are enough:
 *
 * - A new replica takes part once *every* peer has it on disk, and none of them had a log. Until then nobody counts on it.
 * - One that a peer knows as another, or that is new while a peer has a log, recovers until a leader admits it.
 * - What is known of a peer changes by an admission, or when the same data directory is started again.
 */
export class PeerBook implements StandingStore {
  readonly #options: PeerBookOptions;
  readonly #slots: TwoSlotFile;
  readonly #peers = new Map<NodeId, Peer>();
  #standing: Standing = 'new';
  #admittedAt = 0;
  #starts = 0;
  /** The save that was begun last: saves end in order, so it holds all that is known. */
  #saved: Promise<void> = Promise.resolve();
  /** Called when this replica was admitted, after `life` changed. */
  onAdmitted: () => void = () => undefined;

  private constructor(options: PeerBookOptions) {
    this.#options = options;
    this.#slots = new TwoSlotFile(FORMAT, options);
    for (const peer of options.peers) this.#peers.set(peer, { life: null, knowsUs: false });
  }

  /**
   * Reads what is known and counts this start; durable when it resolves.
   * @throws MqError LOG_CORRUPTED, VERSION_UNSUPPORTED, DISK_FAILED
   */
  static async open(options: PeerBookOptions): Promise<PeerBook> {
    const book = new PeerBook(options);
    const payload = await book.#slots.load();
    if (payload !== null) book.#decode(payload);
    book.#starts++;
    if (book.#peers.size === 0) book.#standing = 'takes-part';
    try {
      await book.#slots.save(book.#encode());
    } catch (error) {
      await book.close();
      throw error;
    }
    return book;
  }

  /** What a hello says of this replica. */
  get life(): Life {
    const { incarnation, session } = this.#options;
    return {
      incarnation: incarnation(),
      session,
      admittedAt: this.#admittedAt,
      starts: this.#starts,
    };
  }

  get takesPart(): boolean {
    return this.#standing === 'takes-part';
  }

  /**
   * A peer says who it is.
   * @returns null when it is known as another, later one, and has to recover; else resolves when it is known on disk
   */
  meet(id: NodeId, life: Life): Promise<void> | null {
    const peer = this.#peerOf(id);
    if (peer.life !== null && isAnother(life, peer.life)) return null;
    // It may have called before, and be on its way to the disk only.
    if (peer.life !== null && isSame(life, peer.life)) return this.#saved;
    peer.life = life;
    return this.#save();
  }

  /**
   * A peer answered our hello.
   * @param known whether it knows this replica as what it is
   * @param hasLog whether it has entries
   * @param tell called when that made this replica take part, or recover: recovering at once, taking part when that is
   *   durable
   */
  answered(id: NodeId, known: boolean, hasLog: boolean, tell: (takesPart: boolean) => void): void {
    const peer = this.#peerOf(id);
    const standing = this.#standingAfter(peer, known, hasLog);
    if (standing === this.#standing && known === peer.knowsUs) return;
    const before = this.takesPart;
    peer.knowsUs = known;
    this.#standing = standing;
    if (standing === 'recovering') {
      const { logger } = this.#options;
      logger.warn({ peer: id, known }, 'this replica takes no part until a leader admits it');
    }
    // To recover is safe before it is on disk: after a restart the same peer says the same again.
    if (before && !this.takesPart) tell(false);
    const saved = this.#save();
    if (before || !this.takesPart) return;
    const takePart = (): void => {
      // Another peer may have said meanwhile that it knows this replica as another.
      if (this.takesPart) tell(true);
    };
    saved.then(takePart, () => undefined);
  }

  #standingAfter(peer: Peer, known: boolean, hasLog: boolean): Standing {
    if (!known) return 'recovering';
    if (this.#standing !== 'new') return this.#standing;
    if (hasLog) return 'recovering';
    const all = [...this.#peers.values()].every((each) => each === peer || each.knowsUs);
    return all ? 'takes-part' : 'new';
  }

  /** A leader admitted this replica with the entry at `index`. */
  admitted(index: number): Promise<void> {
    this.#standing = 'takes-part';
    // Each admission comes with an entry of its own, and indexes come again only where a majority lost power (R23).
    this.#admittedAt = Math.max(index, this.#admittedAt + 1);
    this.onAdmitted();
    return this.#save();
  }

  close(): Promise<void> {
    return this.#slots.close();
  }

  #peerOf(id: NodeId): Peer {
    const peer = this.#peers.get(id);
    assert(peer !== undefined, 'only members of the group are asked about');
    return peer;
  }

  #save(): Promise<void> {
    const saved = this.#slots.save(this.#encode());
    saved.catch((error: unknown) => this.#options.onFailure(error));
    this.#saved = saved;
    return saved;
  }

  #encode(): Buffer {
    const payload = Buffer.alloc(FORMAT.payloadSizeBytes);
    payload[0] = STANDINGS.indexOf(this.#standing);
    payload[1] = this.#peers.size;
    let at = writeInt64(payload, this.#admittedAt, 8);
    at = writeInt64(payload, this.#starts, at);
    for (const [id, { life, knowsUs }] of this.#peers) {
      at = payload.writeUInt32BE(id, at);
      payload[at++] = (knowsUs ? KNOWS_US : 0) | (life === null ? 0 : KNOWN);
      at = writeInt64(payload, life?.admittedAt ?? 0, at);
      at = writeInt64(payload, life?.starts ?? 0, at);
      for (const text of [life?.incarnation ?? '', life?.session ?? '']) {
        const size = payload.write(text, at + 1);
        assert(size <= LIFE_TEXT_SIZE_BYTES_MAX, 'incarnations and sessions are short');
        payload[at] = size;
        at += 1 + size;
      }
    }
    return payload;
  }

  /** Peers that left the list since are forgotten. */
  #decode(payload: Buffer): void {
    this.#standing = STANDINGS[payload[0]!]!;
    this.#admittedAt = readInt64(payload, 8);
    this.#starts = readInt64(payload, 16);
    let at = 24;
    const text = (): string => {
      const end = at + 1 + payload[at]!;
      const found = payload.toString('utf8', at + 1, end);
      at = end;
      return found;
    };
    for (let count = payload[1]!; count > 0; count--) {
      const id = payload.readUInt32BE(at);
      const flags = payload[at + 4]!;
      const admittedAt = readInt64(payload, at + 5);
      const starts = readInt64(payload, at + 13);
      at += 21;
      const life: Life = { incarnation: text(), session: text(), admittedAt, starts };
      if (!this.#peers.has(id)) continue;
      const knowsUs = (flags & KNOWS_US) !== 0;
      this.#peers.set(id, { life: (flags & KNOWN) === 0 ? null : life, knowsUs });
    }
  }
}

/** Whether `life` cannot be what `known` went on to be: another directory, or an old copy of the same one. */
function isAnother(life: Life, known: Life): boolean {
  if (life.admittedAt !== known.admittedAt) return life.admittedAt < known.admittedAt;
  if (life.incarnation !== known.incarnation) return true;
  if (life.starts !== known.starts) return life.starts < known.starts;
  return life.session !== known.session;
}

function isSame(life: Life, known: Life): boolean {
  return (
    life.incarnation === known.incarnation &&
    life.admittedAt === known.admittedAt &&
    life.starts === known.starts &&
    life.session === known.session
  );
}
