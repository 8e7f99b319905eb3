/**
 * What the peer may send before we say that there is room again: on a connection, or on one stream. Room is given back
 * when half of it was used, so that a peer which sends without a pause never waits, and few frames say so.
 */
export class ReceiveWindow {
  readonly #sizeBytes: number;
  #leftBytes: number;
  #unreturnedBytes = 0;

  /** @param firstBytes what the peer takes for the size until our SETTINGS are known there; the same by default */
  constructor(sizeBytes: number, firstBytes = sizeBytes) {
    this.#sizeBytes = sizeBytes;
    this.#leftBytes = firstBytes;
  }

  /** The peer sent so much. @returns false when it may not, and nothing is counted */
  take(sizeBytes: number): boolean {
    if (sizeBytes > this.#leftBytes) return false;
    this.#leftBytes -= sizeBytes;
    return true;
  }

  /**
   * Bytes that came need no room any more.
   * @returns how many the peer is to be told of now; 0 = later
   */
  consumed(sizeBytes: number): number {
    this.#unreturnedBytes += sizeBytes;
    if (2 * this.#unreturnedBytes < this.#sizeBytes) return 0;
    const returnedBytes = this.#unreturnedBytes;
    this.#leftBytes += returnedBytes;
    this.#unreturnedBytes = 0;
    return returnedBytes;
  }
}
