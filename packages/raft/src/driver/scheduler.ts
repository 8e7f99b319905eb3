/** Runs work at the end of the current turn of the event loop. A port, so that the simulator decides what a turn is. */
export interface Scheduler {
  /** Calls `run` once, after the events that are already due have been handled. */
  defer(run: () => void): void;
}

/** Node's own loop: `setImmediate` runs behind the socket events of the same turn. */
export const loopScheduler: Scheduler = {
  defer: (run) => {
    setImmediate(run);
  },
};
