/** Client libraries that we know by the header `x-mq-language`. */
export type ClientLanguage =
  'JAVA' | 'CPP' | 'DOTNET' | 'GO' | 'RUST' | 'PYTHON' | 'NODE_JS' | 'RAFTMQ' | 'OTHER';

const byHeader: ReadonlyMap<string, ClientLanguage> = new Map<string, ClientLanguage>([
  ['JAVA', 'JAVA'],
  ['CPP', 'CPP'],
  ['DOTNET', 'DOTNET'],
  ['GO', 'GO'],
  ['RUST', 'RUST'],
  ['PYTHON', 'PYTHON'],
  // The official Node.js client calls itself HTTP.
  ['HTTP', 'NODE_JS'],
  // Ours.
  ['RAFTMQ_NODE', 'RAFTMQ'],
]);

/** Reads the header `x-mq-language`. Any value is welcome, and none: these are OTHER. */
export function parseClientLanguage(header: string | null | undefined): ClientLanguage {
  return byHeader.get(header ?? '') ?? 'OTHER';
}
