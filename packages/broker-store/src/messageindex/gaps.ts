/** Stretches of the log that are not indexed yet, ascending, disjoint, in bytes. */
export class Gaps {
  #gaps: { from: number; end: number }[] = [];

  get sizeBytes(): number {
    return this.missingBytes(0, Infinity);
  }

  /** The stretch to be indexed next: the latest one, as recent messages are asked for most. */
  get latest(): { readonly from: number; readonly end: number } | null {
    return this.#gaps[this.#gaps.length - 1] ?? null;
  }

  /** Bytes of gaps within [from, end). */
  missingBytes(from: number, end: number): number {
    let sum = 0;
    for (const gap of this.#gaps)
      sum += Math.max(0, Math.min(end, gap.end) - Math.max(from, gap.from));
    return sum;
  }

  /** Adds a stretch that overlaps no gap. */
  add(from: number, end: number): void {
    if (from >= end) return;
    this.#gaps.push({ from, end });
    this.#gaps.sort((a, b) => a.from - b.from);
  }

  /** The log within [from, end) is indexed now. */
  fill(from: number, end: number): void {
    const left: { from: number; end: number }[] = [];
    for (const gap of this.#gaps) {
      if (gap.from < from) left.push({ from: gap.from, end: Math.min(gap.end, from) });
      if (gap.end > end) left.push({ from: Math.max(gap.from, end), end: gap.end });
    }
    this.#gaps = left;
  }

  /** Forgets what lies below `position`. */
  dropBelow(position: number): void {
    for (const gap of this.#gaps) gap.from = Math.max(gap.from, position);
    this.#gaps = this.#gaps.filter((gap) => gap.from < gap.end);
  }
}
