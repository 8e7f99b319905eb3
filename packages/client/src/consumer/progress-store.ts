import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { MqError } from '@raftmq/base';

/** Keeps how far a broadcasting consumer is: the offset of the first message not consumed, by queue. */
export interface ProgressStore {
  load(): Promise<ReadonlyMap<string, number>>;
  save(offsets: ReadonlyMap<string, number>): Promise<void>;
}

/** Forgets with the process. */
export class MemoryProgress implements ProgressStore {
  load(): Promise<ReadonlyMap<string, number>> {
    return Promise.resolve(new Map());
  }

  save(): Promise<void> {
    return Promise.resolve();
  }
}

const VERSION = 1;

/**
 * One JSON file: `{"version":1,"group":"g","offsets":{"topic/broker/queue":7}}`. It is replaced in one step, so a reader never
 * sees half of it; it belongs to one consumer at a time.
 */
export class FileProgress implements ProgressStore {
  readonly #path: string;
  readonly #group: string;

  constructor(path: string, group: string) {
    this.#path = path;
    this.#group = group;
  }

  /** @throws MqError CONFIG_INVALID for a file that is another group's, or none of ours */
  async load(): Promise<ReadonlyMap<string, number>> {
    let text: string;
    try {
      text = await readFile(this.#path, 'utf8');
    } catch (error) {
      if ((error as { code?: unknown }).code === 'ENOENT') return new Map();
      throw this.#invalid('cannot be read', error);
    }
    let json: { version?: unknown; group?: unknown; offsets?: unknown } | null;
    try {
      json = JSON.parse(text) as typeof json;
    } catch (error) {
      throw this.#invalid('is no JSON', error);
    }
    if (json?.version !== VERSION) throw this.#invalid('has an unknown version');
    if (json.group !== this.#group) throw this.#invalid(`is not that of group ${this.#group}`);
    const offsets = Object.entries((json.offsets ?? {}) as Record<string, unknown>);
    const wrong = offsets.find(([, offset]) => !Number.isSafeInteger(offset));
    if (wrong !== undefined) throw this.#invalid(`has no offset for ${wrong[0]}`);
    return new Map(offsets as [string, number][]);
  }

  async save(offsets: ReadonlyMap<string, number>): Promise<void> {
    const sorted = [...offsets].sort(([a], [b]) => (a < b ? -1 : 1));
    const text = JSON.stringify({
      version: VERSION,
      group: this.#group,
      offsets: Object.fromEntries(sorted),
    });
    await mkdir(dirname(this.#path), { recursive: true });
    const draft = `${this.#path}.new`;
    await writeFile(draft, text + '\n');
    await rename(draft, this.#path);
  }

  #invalid(what: string, cause?: unknown): MqError {
    return new MqError(
      'CONFIG_INVALID',
      `the progress file ${this.#path} ${what}; give another file, or remove it to begin anew`,
      { cause },
    );
  }
}
