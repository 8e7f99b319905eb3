import { MqError } from '@raftmq/base';
import { loadMessage } from '@raftmq/rpc';
import { type NodeId } from '../core/types.js';

/** Protocol versions of this build. A message may change its meaning only with a new version. */
export const PROTOCOL_VERSION_MIN = 1;
export const PROTOCOL_VERSION_MAX = 1;

/** First frame of a connection: who calls, and whom it believes to call. */
export interface Hello {
  readonly cluster: string;
  readonly group: string;
  readonly from: NodeId;
  readonly to: NodeId;
  /** Random, kept in the data directory: another one means another directory. */
  readonly incarnation: string;
  /** Random at each start of the process. */
  readonly session: string;
  readonly versionMin: number;
  readonly versionMax: number;
}

/** The callee's only word. */
export interface HelloAnswer {
  /** '' = accepted; else why not, and what to do. */
  readonly refused: string;
  readonly incarnation: string;
  readonly session: string;
  readonly version: number;
}

/** Who this replica is. */
export interface Identity {
  readonly cluster: string;
  readonly group: string;
  readonly nodeId: NodeId;
  readonly incarnation: string;
  readonly session: string;
}

interface HelloFrame {
  readonly hello?: Hello | null;
}

/** @returns the first frame of a connection from `self` to `to` */
export function encodeHello(self: Identity, to: NodeId): Buffer {
  const { cluster, group, nodeId, incarnation, session } = self;
  const versionMin = PROTOCOL_VERSION_MIN;
  const versionMax = PROTOCOL_VERSION_MAX;
  const hello: Hello = {
    cluster,
    group,
    from: nodeId,
    to,
    incarnation,
    session,
    versionMin,
    versionMax,
  };
  return loadMessage<HelloFrame>('raftmq.raft.v1.Frame').encode({ hello });
}

/** @throws MqError BAD_REQUEST when the frame is no hello */
export function decodeHello(frame: Buffer): Hello {
  let hello: Hello | null | undefined;
  try {
    hello = loadMessage<HelloFrame>('raftmq.raft.v1.Frame').decode(frame).hello;
  } catch (error) {
    throw new MqError('BAD_REQUEST', 'the first frame is not readable', { cause: error });
  }
  if (hello === null || hello === undefined)
    throw new MqError('BAD_REQUEST', 'the first frame is no hello');
  return hello;
}

/**
 * Why a hello is refused by itself, whatever else is connected; null = it is one of ours.
 * @param isPeer whether the group has a replica with this number, other than `self`
 */
export function refusalOf(
  hello: Hello,
  self: Identity,
  isPeer: (id: NodeId) => boolean,
): string | null {
  if (hello.cluster !== self.cluster)
    return `this is cluster "${self.cluster}", not "${hello.cluster}": check the cluster name and the peer addresses`;
  if (hello.group !== self.group)
    return `this is group "${self.group}", not "${hello.group}": check the peer addresses`;
  if (hello.to !== self.nodeId)
    return `this is node ${self.nodeId}, not ${hello.to}: check the peer addresses`;
  if (hello.from === self.nodeId)
    return `node ${hello.from} is this node: two processes have the same node id`;
  if (!isPeer(hello.from))
    return `node ${hello.from} is not in the peers list of node ${self.nodeId}`;
  if (hello.session === '') return 'the session is empty';
  if (hello.versionMin > PROTOCOL_VERSION_MAX || hello.versionMax < PROTOCOL_VERSION_MIN) {
    return `VERSION_UNSUPPORTED: the peer speaks raft protocol ${hello.versionMin} to ${hello.versionMax}, this node ${PROTOCOL_VERSION_MIN} to ${PROTOCOL_VERSION_MAX}: upgrade the older one step by step`;
  }
  return null;
}

/** @returns the highest version that both ends speak; only for hellos that were not refused */
export function commonVersion(hello: Hello): number {
  return Math.min(hello.versionMax, PROTOCOL_VERSION_MAX);
}

export function encodeAnswer(answer: HelloAnswer): Buffer {
  return loadMessage<HelloAnswer>('raftmq.raft.v1.HelloAnswer').encode(answer);
}

/** @throws Error when the bytes are no answer */
export function decodeAnswer(bytes: Buffer): HelloAnswer {
  return loadMessage<HelloAnswer>('raftmq.raft.v1.HelloAnswer').decode(bytes);
}
