/** Cancels a timer; calling it again, or after the timer fired, does nothing. */
export type CancelTimer = () => void;

/**
 * Time as an input. Protocol decisions use `monotonicMs` only; `wallMs` is for stamps that people and other
 * systems read, and for due times. In the simulator both are virtual.
 */
export interface Clock {
  /** Milliseconds since some fixed point, never going back; fractions allowed. */
  monotonicMs(): number;
  /** Milliseconds since 1970-01-01T00:00:00Z, integer; may jump. */
  wallMs(): number;
  /** Calls `fire` once after at least `delayMs`. Does not keep a process alive by itself. */
  setTimer(delayMs: number, fire: () => void): CancelTimer;
}

/** The clock of this machine. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer(delayMs, fire) {
    const timer = setTimeout(fire, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
