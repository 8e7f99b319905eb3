/**
 * Bytes that nobody may have yet, side by side however small the pieces were; flow control bounds them. `[from, end)` of
 * `bytes` is what is held. Bytes before `from` were given out as views: they are never moved or written to again.
 */
export class HeldBytes {
  bytes: Buffer = Buffer.alloc(0);
  from = 0;
  end = 0;

  append(chunk: Buffer, from: number, end: number): void {
    const size = end - from;
    if (this.end + size > this.bytes.length) {
      const held = this.end - this.from;
      const grown = Buffer.allocUnsafe(Math.max(2 * held, held + size, 1024));
      this.bytes.copy(grown, 0, this.from, this.end);
      this.bytes = grown;
      this.from = 0;
      this.end = held;
    }
    chunk.copy(this.bytes, this.end, from, end);
    this.end += size;
  }
}
