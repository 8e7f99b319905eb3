/** Calls of one method by the code they were answered with. */
export interface MethodProbe {
  readonly method: string;
  readonly byCode: Map<number, number>;
  /** Sum of the time from arrival to answer, in milliseconds. Long polls count their waiting. */
  totalMs: number;
}

/** Counters of the front door: plain fields, read when metrics are scraped. */
export class EdgeProbe {
  readonly methods = new Map<string, MethodProbe>();
  messagesIn = 0;
  messagesInBytes = 0;
  messagesOut = 0;
  messagesOutBytes = 0;
  /** Messages taken in and handed out, by topic; only topics that exist get a row. */
  readonly inByTopic = new Map<string, number>();
  readonly outByTopic = new Map<string, number>();
  /** Failures that no rule foresaw; each is logged with its cause. */
  unexpectedErrors = 0;
  forwarded = 0;
  forwardRetries = 0;
  forwardHeld = 0;
  forwardRefused = 0;
  receiveAborted = 0;
  telemetryIgnored = 0;
  /** Settings that nobody asked for, because a group changed. */
  settingsPushed = 0;
  telemetryRefused = 0;

  method(name: string): MethodProbe {
    let probe = this.methods.get(name);
    if (probe === undefined) {
      probe = { method: name, byCode: new Map(), totalMs: 0 };
      this.methods.set(name, probe);
    }
    return probe;
  }

  sent(topic: string, count: number, sizeBytes: number): void {
    this.messagesIn += count;
    this.messagesInBytes += sizeBytes;
    this.inByTopic.set(topic, (this.inByTopic.get(topic) ?? 0) + count);
  }

  received(topic: string, count: number, sizeBytes: number): void {
    this.messagesOut += count;
    this.messagesOutBytes += sizeBytes;
    this.outByTopic.set(topic, (this.outByTopic.get(topic) ?? 0) + count);
  }
}

/** Counts one answered call. */
export function countCall(probe: MethodProbe, code: number, tookMs: number): void {
  probe.byCode.set(code, (probe.byCode.get(code) ?? 0) + 1);
  probe.totalMs += tookMs;
}
