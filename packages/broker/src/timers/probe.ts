/** Upper bounds of the lateness buckets, in milliseconds; one more bucket takes all above. */
export const LATENESS_BOUNDS_MS: readonly number[] = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000, 60_000,
];

/** Counters of the timers of a leader; plain fields, copied when metrics are asked for. */
export interface TimerProbe {
  /** Messages taken in to wait. */
  put: number;
  fired: number;
  recalled: number;
  recallsFailed: number;
  /** Due, but their topic was deleted. */
  dropped: number;
  /** Sends refused because too many messages wait. */
  refused: number;
  /** Batches that the clock, jumping back between proposal and entry, made early: they fired again later. */
  early: number;
  /** Reads of waiting messages from disk. */
  loads: number;
  latenessSumMs: number;
  latenessMaxMs: number;
  /** Fired messages by lateness, from due time to commit; see {@link LATENESS_BOUNDS_MS}. */
  readonly lateness: number[];
}

export function createTimerProbe(): TimerProbe {
  return {
    put: 0,
    fired: 0,
    recalled: 0,
    recallsFailed: 0,
    dropped: 0,
    refused: 0,
    early: 0,
    loads: 0,
    latenessSumMs: 0,
    latenessMaxMs: 0,
    lateness: new Array<number>(LATENESS_BOUNDS_MS.length + 1).fill(0),
  };
}

/** Counts a message that was delivered `lateMs` after its time. */
export function countFired(probe: TimerProbe, lateMs: number): void {
  probe.fired++;
  probe.latenessSumMs += lateMs;
  if (lateMs > probe.latenessMaxMs) probe.latenessMaxMs = lateMs;
  let bucket = 0;
  while (bucket < LATENESS_BOUNDS_MS.length && lateMs > LATENESS_BOUNDS_MS[bucket]!) bucket++;
  probe.lateness[bucket]!++;
}
