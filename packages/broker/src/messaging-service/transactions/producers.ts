/** A producer that can be asked about transactions, and the replica that holds its stream. */
export interface ReachableProducer {
  readonly clientId: string;
  readonly nodeId: number;
}

/** The way from the leader to producers, wherever in the group their Telemetry streams end. */
export interface ProducerLink {
  /** Producers with an open stream that declared the topic; replicas that do not answer are left out. */
  find(topic: string): Promise<readonly ReachableProducer[]>;
  /** Writes an encoded TelemetryCommand to the producer's stream. @returns whether it was written */
  hand(producer: ReachableProducer, command: Buffer): Promise<boolean>;
}

/** A group in which no producer can be reached: what the service begins with. */
export const noProducers: ProducerLink = {
  find: () => Promise.resolve([]),
  hand: () => Promise.resolve(false),
};
