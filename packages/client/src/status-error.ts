import { type ErrorCode, errorTable, isMqError, MqError } from '@raftmq/base';
import { isRpcError, type RpcError, rpcErrorToMqError } from '@raftmq/rpc';
import { type Status, statusCode, statusCodeName } from '@raftmq/protocol';

const codeByStatus = new Map<number, ErrorCode>();
for (const [code, { status }] of Object.entries(errorTable)) {
  if (!codeByStatus.has(status)) codeByStatus.set(status, code as ErrorCode);
}

/** The error code that stands for a status number; for one without an exact match, that of its family. */
function errorCodeOf(status: number): ErrorCode {
  const exact = codeByStatus.get(status);
  if (exact !== undefined) return exact;
  if (status >= 42900 && status < 43000) return 'TOO_MANY_REQUESTS';
  if (status >= 43100 && status < 43200) return 'MESSAGE_PROPERTIES_TOO_LARGE';
  if (status >= 40100 && status < 40400) return 'FORBIDDEN';
  if (status === 40400) return 'TOPIC_NOT_FOUND';
  if (status >= 41300 && status < 41400) return 'PAYLOAD_TOO_LARGE';
  if (status === 40800 || (status >= 50400 && status < 50500)) return 'REQUEST_TIMEOUT';
  if (status >= 40000 && status < 50000) return 'BAD_REQUEST';
  if (status >= 50500 && status < 50600) return 'UNSUPPORTED';
  return 'INTERNAL_ERROR';
}

/** A Status of a server as an error: its own text, and its code where ours has no equal one. */
export function statusToError(status: Status): MqError {
  const code = errorCodeOf(status.code);
  const exact = errorTable[code].status === status.code;
  const name = statusCodeName(status.code) ?? 'unknown code';
  return new MqError(
    code,
    exact ? status.message : `${status.message} (status ${status.code} ${name})`,
  );
}

/** Whether a status means that the request was carried out. */
export function isOk(status: Status): boolean {
  return status.code === statusCode.OK;
}

/** Any failure of a call as an MqError. */
export function callFailure(error: unknown): MqError {
  if (isMqError(error)) return error;
  if (isRpcError(error)) return rpcErrorToMqError(error);
  return new MqError('INTERNAL_ERROR', 'the client failed in an unexpected way', { cause: error });
}

/** Whether another server may do better: the transport failed, not the request. */
export function isTransportFailure(error: unknown): error is RpcError {
  return (
    isRpcError(error) &&
    (error.status === 'UNAVAILABLE' ||
      error.status === 'DEADLINE_EXCEEDED' ||
      error.status === 'INTERNAL' ||
      error.status === 'CANCELLED')
  );
}
