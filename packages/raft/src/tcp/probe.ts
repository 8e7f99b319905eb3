/** Counters of one peer; read at scrape. */
export interface PeerProbe {
  sentMessages: number;
  sentBytes: number;
  receivedMessages: number;
  receivedBytes: number;
  /** Messages dropped because there was no connection. */
  droppedNotConnected: number;
  /** Messages dropped because the peer does not read fast enough. */
  droppedOverCap: number;
  /** Connections made to the peer, the first one counted. */
  connects: number;
  /** Connections of this peer, or to it, that were closed because of what came over them, or refused at hello. */
  refused: number;
}

export function newPeerProbe(): PeerProbe {
  return {
    sentMessages: 0,
    sentBytes: 0,
    receivedMessages: 0,
    receivedBytes: 0,
    droppedNotConnected: 0,
    droppedOverCap: 0,
    connects: 0,
    refused: 0,
  };
}
