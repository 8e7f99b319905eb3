/** Something with a due time that a {@link DueQueue} can hold; one queue at a time. */
export interface DueItem {
  /** Change it only through {@link DueQueue.move} while the item is in a queue. */
  dueMs: number;
  /** Kept by the queue; -1 while the item is in none. */
  heapIndex: number;
}

/** A binary heap by due time whose items know their place, so that removal costs O(log n) and leaves nothing behind. */
export class DueQueue<T extends DueItem> {
  readonly #heap: T[] = [];

  get size(): number {
    return this.#heap.length;
  }

  /** The earliest item, or undefined when empty. */
  peek(): T | undefined {
    return this.#heap[0];
  }

  push(item: T): void {
    this.#heap.push(item);
    this.#up(item, this.#heap.length - 1);
  }

  /** Takes `item` out; does nothing when it is in no queue. */
  remove(item: T): void {
    const at = item.heapIndex;
    if (at < 0) return;
    item.heapIndex = -1;
    const last = this.#heap.pop()!;
    if (last === item) return;
    this.#place(last, at);
  }

  pop(): T | undefined {
    const first = this.#heap[0];
    if (first !== undefined) this.remove(first);
    return first;
  }

  /** Gives `item` a new due time; adds it when it is in no queue. */
  move(item: T, dueMs: number): void {
    item.dueMs = dueMs;
    if (item.heapIndex < 0) this.push(item);
    else this.#place(item, item.heapIndex);
  }

  #place(item: T, at: number): void {
    this.#up(item, at);
    this.#down(item, item.heapIndex);
  }

  #up(item: T, at: number): void {
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = this.#heap[parentAt]!;
      if (parent.dueMs <= item.dueMs) break;
      this.#heap[at] = parent;
      parent.heapIndex = at;
      at = parentAt;
    }
    this.#heap[at] = item;
    item.heapIndex = at;
  }

  #down(item: T, at: number): void {
    for (;;) {
      let childAt = 2 * at + 1;
      if (childAt >= this.#heap.length) break;
      const right = this.#heap[childAt + 1];
      if (right !== undefined && right.dueMs < this.#heap[childAt]!.dueMs) childAt++;
      const child = this.#heap[childAt]!;
      if (child.dueMs >= item.dueMs) break;
      this.#heap[at] = child;
      child.heapIndex = at;
      at = childAt;
    }
    this.#heap[at] = item;
    item.heapIndex = at;
  }
}
