import { type GroupInfo, type RaftGroupStatus, type RaftReplicaStatus } from './model.js';
import { type WireRaftStatus } from './wire.js';

/** A broker group as one of its replicas describes it. */
export function groupOf(status: WireRaftStatus, askedAddress: string): GroupInfo {
  const replicas = status.replicas.map(({ nodeId, grpcAddress }) => ({
    nodeId,
    grpcAddress,
    remotingAddress: '',
    metricsAddress: '',
  }));
  const own = {
    nodeId: status.nodeId,
    grpcAddress: askedAddress,
    remotingAddress: '',
    metricsAddress: '',
  };
  return {
    cluster: status.cluster,
    group: status.group,
    term: status.term,
    leaderId: status.leaderId,
    replicas: replicas.length === 0 ? [own] : replicas,
  };
}

/** Addresses of its replicas, the leader's first. */
export function leaderFirst(group: GroupInfo): readonly string[] {
  const { leaderId, replicas } = group;
  return [...replicas]
    .sort((a, b) => Number(b.nodeId === leaderId) - Number(a.nodeId === leaderId))
    .map((replica) => replica.grpcAddress)
    .filter((address) => address !== '');
}

/** The newest term wins: a replica that was cut off may still believe in an older leader. */
export function summarize(
  group: GroupInfo,
  ids: readonly number[],
  answers: ReadonlyMap<number, WireRaftStatus>,
): RaftGroupStatus {
  let term = -1;
  let leaderId = -1;
  for (const answer of answers.values()) {
    if (answer.term < term || (answer.term === term && answer.leaderId < 0)) continue;
    term = answer.term;
    leaderId = answer.leaderId;
  }
  if (answers.size === 0) ({ term, leaderId } = group);
  return {
    group: group.group,
    term,
    leader: leaderId,
    replicas: ids.map((id) => replicaStatus(id, answers.get(id))),
  };
}

function replicaStatus(id: number, answer: WireRaftStatus | undefined): RaftReplicaStatus {
  if (answer === undefined) {
    return {
      id,
      role: 'unknown',
      up: false,
      lastIndex: -1,
      commitIndex: -1,
      appliedIndex: -1,
      digest: '',
    };
  }
  const { role, lastIndex, commitIndex, appliedIndex, digest, recovery } = answer;
  const status = { id, role, up: true, lastIndex, commitIndex, appliedIndex, digest };
  return recovery === '' || recovery === 'none' ? status : { ...status, recovery };
}
