import { type Segment } from './segment.js';

/** The segments of a log, oldest first, never empty. The last one is the one that grows. */
export class SegmentList {
  readonly #segments: Segment[];

  /** Takes over `segments`. */
  constructor(segments: Segment[]) {
    this.#segments = segments;
  }

  get count(): number {
    return this.#segments.length;
  }

  get oldest(): Segment {
    return this.#segments[0]!;
  }

  get newest(): Segment {
    return this.#segments[this.#segments.length - 1]!;
  }

  at(number: number): Segment | undefined {
    return this.#segments[number];
  }

  /** The segment that holds `index`, which must be in the log. */
  ofIndex(index: number): Segment {
    return this.#segments[this.#lastWhere((segment) => segment.firstIndex <= index)]!;
  }

  /** The segment that holds `position`, which must be in the log. */
  ofPosition(position: number): Segment {
    return this.#segments[this.#lastWhere((segment) => segment.start <= position)]!;
  }

  push(segment: Segment): void {
    this.#segments.push(segment);
  }

  shift(): Segment {
    return this.#segments.shift()!;
  }

  /** Removes and gives the segments behind `keep`. */
  cutBehind(keep: Segment): Segment[] {
    return this.#segments.splice(this.#segments.indexOf(keep) + 1);
  }

  #lastWhere(holds: (segment: Segment) => boolean): number {
    let low = 0;
    let high = this.#segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (holds(this.#segments[middle]!)) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
