/** Counters of transactions; they count on the leader. */
export interface TransactionProbe {
  halvesStored: number;
  /** Half messages that came again and were not stored. */
  halvesRepeated: number;
  /** Refused because too many wait for a decision. */
  halvesRefused: number;
  committed: number;
  rolledBack: number;
  /** Among the two: decided in answer to a check. */
  decidedByCheck: number;
  /** Decisions that came after the contrary one, or for nothing that is known. */
  decisionsRefused: number;
  /** Checks handed to a producer. */
  checksSent: number;
  /** Times that a check was due and no producer was there. */
  checksWithoutProducer: number;
  parked: number;
  /** Parked ones given up at the limit. */
  discarded: number;
  resumed: number;
}

export function createTransactionProbe(): TransactionProbe {
  return {
    halvesStored: 0,
    halvesRepeated: 0,
    halvesRefused: 0,
    committed: 0,
    rolledBack: 0,
    decidedByCheck: 0,
    decisionsRefused: 0,
    checksSent: 0,
    checksWithoutProducer: 0,
    parked: 0,
    discarded: 0,
    resumed: 0,
  };
}
