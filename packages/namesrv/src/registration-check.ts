import { type BrokerRegistration, type RouteTopic } from '@raftmq/protocol';

export interface RegistrationLimits {
  /** Broker groups in all clusters together. */
  readonly groupsMax: number;
  /** Topics of one group. */
  readonly topicsMax: number;
}

const NODE_ID_MAX = 31;
const NAME = /^[A-Za-z0-9_-]{1,127}$/;
const TOPIC_NAME_LENGTH_MAX = 255;
const ADDRESS_LENGTH_MAX = 255;

/**
 * Whether a registration makes sense by itself, whatever is known already.
 * @returns why not, and what to do; null = it does
 */
export function faultOf(
  registration: BrokerRegistration,
  limits: RegistrationLimits,
): string | null {
  const { cluster, group, nodeId, startedAtMs, term, leaderId, topicsVersion, topics } =
    registration;
  if (!NAME.test(cluster)) return `cluster name ${quote(cluster)} is not allowed`;
  if (!NAME.test(group)) return `group name ${quote(group)} is not allowed`;
  if (!inRange(nodeId, 0, NODE_ID_MAX)) return `node id ${nodeId} is not in 0 .. ${NODE_ID_MAX}`;
  if (!inRange(leaderId, -1, NODE_ID_MAX))
    return `leader id ${leaderId} is not in -1 .. ${NODE_ID_MAX}`;
  if (!inRange(startedAtMs, 1, Number.MAX_SAFE_INTEGER)) return 'the start time is missing';
  if (!inRange(term, 0, Number.MAX_SAFE_INTEGER)) return `term ${term} is out of range`;
  if (!inRange(topicsVersion, 0, Number.MAX_SAFE_INTEGER))
    return `topics version ${topicsVersion} is out of range`;
  if (registration.grpcAddress === '') return 'the gRPC address is missing';
  const { grpcAddress, remotingAddress, metricsAddress, raftAddress } = registration;
  for (const address of [grpcAddress, remotingAddress, metricsAddress, raftAddress]) {
    if (address !== '' && !isAddress(address)) return `address ${quote(address)} is not host:port`;
  }
  if (topics.length > limits.topicsMax)
    return `${topics.length} topics are more than the NameServer's topicsMax ${limits.topicsMax}`;
  const bad = topics.find((topic) => !isTopic(topic));
  return bad === undefined ? null : `topic ${quote(bad.name)} has impossible values`;
}

function isTopic(topic: RouteTopic): boolean {
  const { name, readQueues, writeQueues, permission } = topic;
  if (name === '' || name.length > TOPIC_NAME_LENGTH_MAX) return false;
  return (
    inRange(readQueues, 0, 65_536) && inRange(writeQueues, 0, 65_536) && inRange(permission, 0, 7)
  );
}

function isAddress(address: string): boolean {
  const match = /^(\[[0-9A-Fa-f:.%]+\]|[^\s:]+):(\d{1,5})$/.exec(address);
  return address.length <= ADDRESS_LENGTH_MAX && match !== null && Number(match[2]) <= 65_535;
}

function inRange(value: number, from: number, through: number): boolean {
  return Number.isSafeInteger(value) && value >= from && value <= through;
}

function quote(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
}
