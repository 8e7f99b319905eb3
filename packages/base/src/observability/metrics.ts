import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';

/** All metrics of one process. */
export type MetricsRegistry = Registry;

/** A registry with Node's own numbers in it: CPU, memory, garbage collection, event loop lag. */
export function createMetricsRegistry(): MetricsRegistry {
  const registry = new Registry();
  // The default of 10 ms wakes an idle process a hundred times a second.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 100 });
  return registry;
}

/** One value of a metric with its labels; a metric's values all carry the same label names. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A metric whose values are plain fields somewhere, read only when somebody scrapes. */
export interface ProbedMetric {
  /** Base units in the name; counters end in `_total`. */
  readonly name: string;
  readonly help: string;
  readonly kind: 'counter' | 'gauge';
  /** Of bounded variety: topic, group, role, outcome; never client ids, keys or message ids. */
  readonly labels?: readonly string[];
  /** The value now, or one per set of labels. Counters never go down. */
  readonly read: () => number | readonly Sample[];
}

/** Registers metrics that cost nothing between scrapes. A name is registered once; prom-client throws otherwise. */
export function exposeMetrics(registry: MetricsRegistry, metrics: readonly ProbedMetric[]): void {
  for (const { name, help, kind, labels = [], read } of metrics) {
    const samples = (): readonly Sample[] => {
      const now = read();
      return typeof now === 'number' ? [{ labels: {}, value: now }] : now;
    };
    const common = { name, help, labelNames: [...labels], registers: [registry] };
    if (kind === 'counter') {
      new Counter({
        ...common,
        collect() {
          this.reset();
          for (const sample of samples()) this.inc({ ...sample.labels }, sample.value);
        },
      });
    } else {
      new Gauge({
        ...common,
        collect() {
          this.reset();
          for (const sample of samples()) this.set({ ...sample.labels }, sample.value);
        },
      });
    }
  }
}
