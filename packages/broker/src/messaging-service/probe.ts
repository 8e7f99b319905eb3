/** Counters of the messaging service; plain fields, copied when metrics are asked for. */
export interface MessagingProbe {
  messagesSent: number;
  messageBytesSent: number;
  sendsFailed: number;
  /** Sent again and stored before: answered, not stored. */
  messagesRepeated: number;
  messagesDelivered: number;
  /** Among the delivered ones: attempt 2 and later. */
  messagesRedelivered: number;
  /** Not handed out, as their time to live was over. */
  messagesExpired: number;
  messagesAcked: number;
  staleReceipts: number;
  deadLetters: number;
  /** Dead letters sent again. */
  deadLettersResent: number;
  invisibleChanges: number;
  leasesRenewed: number;
  leasesReleased: number;
  /** Handed out, but the caller had gone: given back. */
  deliveriesAborted: number;
  /** Refused because too many polls wait, or too many messages are unacknowledged. */
  receivesRefused: number;
  /** Read by pull calls, without a lease. */
  messagesPulled: number;
  offsetUpdates: number;
  /** Times that a group was put somewhere else. */
  offsetResets: number;
}

export function createMessagingProbe(): MessagingProbe {
  return {
    messagesSent: 0,
    messageBytesSent: 0,
    sendsFailed: 0,
    messagesRepeated: 0,
    messagesDelivered: 0,
    messagesRedelivered: 0,
    messagesExpired: 0,
    messagesAcked: 0,
    staleReceipts: 0,
    deadLetters: 0,
    deadLettersResent: 0,
    invisibleChanges: 0,
    leasesRenewed: 0,
    leasesReleased: 0,
    deliveriesAborted: 0,
    receivesRefused: 0,
    messagesPulled: 0,
    offsetUpdates: 0,
    offsetResets: 0,
  };
}
