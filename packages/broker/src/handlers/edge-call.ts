import { MqError } from '@raftmq/base';
import { parseClientLanguage, type ClientLanguage } from '@raftmq/protocol';
import { type CallContext } from '@raftmq/rpc';

/** Header that counts how often a request was passed on between replicas. */
export const FORWARDED_HEADER = 'x-raftmq-forwarded';
/** Header with the address of the client of a request that was passed on. */
export const FORWARDED_PEER_HEADER = 'x-raftmq-peer';
/** A request travels from the replica that the client knows to the one that can answer, and no further. */
export const FORWARD_HOPS_MAX = 1;

/** What the headers of one call say. Values are the client's own and opaque, except where noted. */
export interface EdgeCall {
  /** Empty when the client sent none; only the pipeline looks at that. */
  readonly clientId: string;
  readonly language: ClientLanguage;
  readonly clientVersion: string;
  /** From x-mq-namespace; '' when absent. */
  readonly namespace: string;
  /** When this call has to be answered, wall clock; never further ahead than the cap. */
  readonly deadlineMs: number;
  /** Times that this request was passed on already. */
  readonly hops: number;
  /** `host:port` of the client itself. */
  readonly peer: string;
  readonly context: CallContext;
}

/**
 * Reads the headers that matter.
 * @param timeoutMaxMs cap of the time left, also used when the caller set no deadline
 */
export function edgeCall(context: CallContext, nowMs: number, timeoutMaxMs: number): EdgeCall {
  const latestMs = nowMs + timeoutMaxMs;
  const hops = Number(context.header(FORWARDED_HEADER) ?? 0);
  return {
    clientId: context.header('x-mq-client-id')?.trim() ?? '',
    language: parseClientLanguage(context.header('x-mq-language')),
    clientVersion: context.header('x-mq-client-version') ?? '',
    namespace: context.header('x-mq-namespace') ?? '',
    deadlineMs: context.deadlineMs === null ? latestMs : Math.min(context.deadlineMs, latestMs),
    hops: Number.isInteger(hops) && hops > 0 ? hops : 0,
    peer: (hops > 0 ? context.header(FORWARDED_PEER_HEADER) : null) ?? context.peer,
    context,
  };
}

const CLIENT_ID_LENGTH_MAX = 1024;

/**
 * Checks the client id, which every call must carry.
 * @throws MqError CLIENT_ID_REQUIRED
 */
export function requireClientId(call: EdgeCall): void {
  if (call.clientId === '') {
    throw new MqError(
      'CLIENT_ID_REQUIRED',
      'the header x-mq-client-id is missing or blank; every SDK sends one',
    );
  }
  if (call.clientId.length > CLIENT_ID_LENGTH_MAX) {
    throw new MqError(
      'CLIENT_ID_REQUIRED',
      `the header x-mq-client-id is longer than ${CLIENT_ID_LENGTH_MAX} characters`,
    );
  }
}

/** Whether the caller is the official Node.js SDK, whose needs differ in several places. */
export function isNodeSdk(call: Pick<EdgeCall, 'language'>): boolean {
  return call.language === 'NODE_JS';
}
