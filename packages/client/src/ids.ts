import { randomBytes } from 'node:crypto';
import { hostname, networkInterfaces } from 'node:os';

let clientCount = 0;

/** `host@pid@counter@random`: different for every client object, as RocketMQ's own clients make it. */
export function createClientId(): string {
  return `${hostname()}@${process.pid}@${clientCount++}@${randomBytes(6).toString('hex')}`;
}

/** 2021-01-01T00:00:00Z. */
const EPOCH_SECONDS = 1_609_459_200;
const TWO_32 = 0x1_0000_0000;

/**
 * Makes message ids of RocketMQ's version 1: 34 upper-case hex digits for 17 bytes, big-endian.
 *
 *   01 | 6 bytes machine address | 2 bytes pid | 4 bytes seconds since 2021 | 4 bytes counter
 *
 * The clock is read once, at the first id; later seconds show in the counter only, so ids of one process never repeat
 * within 2^32 of them. The counter starts at a random place, so that a pid in use again within a second is no danger.
 */
export class MessageIdGenerator {
  readonly #prefix: string;
  #counter: number;

  constructor(nowMs = Date.now()) {
    const bytes = Buffer.alloc(13);
    bytes[0] = 1;
    machineAddress().copy(bytes, 1);
    bytes.writeUInt16BE(process.pid & 0xffff, 7);
    bytes.writeUInt32BE((Math.floor(nowMs / 1000) - EPOCH_SECONDS) % TWO_32, 9);
    this.#prefix = bytes.toString('hex').toUpperCase();
    this.#counter = randomBytes(4).readUInt32BE();
  }

  next(): string {
    this.#counter = (this.#counter + 1) % TWO_32;
    return this.#prefix + this.#counter.toString(16).toUpperCase().padStart(8, '0');
  }
}

/** The first hardware address of this machine; a random one (marked as local) when there is none. */
function machineAddress(): Buffer {
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { mac, internal } of addresses ?? []) {
      if (!internal && mac !== '00:00:00:00:00:00')
        return Buffer.from(mac.replaceAll(':', ''), 'hex');
    }
  }
  const random = randomBytes(6);
  random[0] = (random[0]! | 2) & 0xfe;
  return random;
}
