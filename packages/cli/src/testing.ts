import { type Output } from './output.js';

/** Collects what a command writes; for tests. */
export class MemoryOutput implements Output {
  readonly dataLines: string[] = [];
  readonly noteLines: string[] = [];

  data(line: string): void {
    this.dataLines.push(line);
  }

  note(line: string): void {
    this.noteLines.push(line);
  }
}
