/** Counters of the state machine; plain fields, copied when metrics are asked for. */
export interface StateProbe {
  /** Messages applied since the start, replayed ones included. */
  messagesApplied: number;
  messageBytesApplied: number;
  commandsApplied: number;
  /** Messages to a topic that was deleted before them. */
  messagesDropped: number;
  checkpoints: number;
  /** Of these, those that were due to the number of changed rows. */
  checkpointsEarly: number;
  checkpointRows: number;
  checkpointMsMax: number;
}

export function createStateProbe(): StateProbe {
  return {
    messagesApplied: 0,
    messageBytesApplied: 0,
    commandsApplied: 0,
    messagesDropped: 0,
    checkpoints: 0,
    checkpointsEarly: 0,
    checkpointRows: 0,
    checkpointMsMax: 0,
  };
}
