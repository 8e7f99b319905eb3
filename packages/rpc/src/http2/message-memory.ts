/** Memory for the messages of a connection that have not come in whole. */
export interface MessageMemory {
  /** A message of more bytes is refused as soon as its prefix is there. */
  readonly messageBytesMax: number;
  /** Up to this size the whole message gets its memory at once; larger ones as their bytes come. */
  readonly wholeBytesMax: number;
  /** @returns false when there is no room for that much */
  reserve(sizeBytes: number): boolean;
  release(sizeBytes: number): void;
}

/** So many bytes and no more, also through a part with a limit of its own. */
export class ByteBudget {
  readonly #bytesMax: number;
  readonly #whole: ByteBudget | null;
  #usedBytes = 0;

  /** @param whole what this one is a part of */
  constructor(bytesMax: number, whole: ByteBudget | null = null) {
    this.#bytesMax = bytesMax;
    this.#whole = whole;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** @returns false, and takes nothing, when there is no room for that much */
  take(sizeBytes: number): boolean {
    if (this.#usedBytes + sizeBytes > this.#bytesMax) return false;
    if (this.#whole?.take(sizeBytes) === false) return false;
    this.#usedBytes += sizeBytes;
    return true;
  }

  give(sizeBytes: number): void {
    this.#usedBytes -= sizeBytes;
    this.#whole?.give(sizeBytes);
  }
}
