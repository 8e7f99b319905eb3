import { errorText } from '@raftmq/base';
import { type Connection, type ConnectionHost } from './http2/connection.js';
import { ConnectionClock } from './http2/connection-clock.js';
import { FlushTurn } from './http2/flush-turn.js';
import { newConnectionProbe } from './http2/limits.js';
import { ByteBudget } from './http2/message-memory.js';
import { isImpossible } from './status.js';

/** Deadlines of calls are kept to this, and all other times to the second. */
const DEADLINE_GRAIN_MS = 5;
const TICK_MS = 1_000;
const READ_BUFFER_BYTES = 64 * 1024;

/** What all channels of a process share: clock, turn, and the memory to read into. What fails is told to the calls. */
class ChannelHost implements ConnectionHost {
  readonly turn = new FlushTurn();
  readonly probe = newConnectionProbe();
  /** Answers of any size are received. */
  readonly partialMemory = new ByteBudget(Infinity);
  readonly #clock = new ConnectionClock(TICK_MS, DEADLINE_GRAIN_MS);
  #readBuffer: Buffer | null = null;

  /** Bytes in it are valid until the next read of any channel. */
  get readBuffer(): Buffer {
    return (this.#readBuffer ??= Buffer.allocUnsafeSlow(READ_BUFFER_BYTES));
  }

  joined(connection: Connection, nowMs: number): void {
    this.#clock.add(connection, nowMs);
  }

  due(atMs: number): void {
    this.#clock.due(atMs);
  }

  left(connection: Connection): void {
    this.#clock.delete(connection);
  }

  violated(): void {
    // Its calls failed with the reason.
  }

  crashed({ peer }: Connection, error: unknown): void {
    if (!isImpossible(error)) {
      const stack = error instanceof Error ? error.stack : undefined;
      process.emitWarning(`a call to ${peer} met a failure of this program: ${errorText(error)}`, {
        ...(stack === undefined ? {} : { detail: stack }),
      });
      return;
    }
    process.nextTick(() => {
      throw error;
    });
  }
}

export const channelHost = new ChannelHost();
