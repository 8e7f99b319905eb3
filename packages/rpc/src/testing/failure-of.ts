import { isRpcError, type RpcError } from '../status.js';

/** How a call fails; what is no RpcError, or no failure, is thrown. */
export async function failureOf(promise: Promise<unknown>): Promise<RpcError> {
  const error: unknown = await promise.then(
    () => new Error('it succeeded'),
    (reason: unknown) => reason,
  );
  if (!isRpcError(error)) throw error;
  return error;
}
