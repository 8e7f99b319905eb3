import { type TransactionInfo } from '@raftmq/client';

/** A time as people read it; '' for none. */
export function timeText(timeMs: number | null): string {
  return timeMs === null ? '' : new Date(timeMs).toISOString();
}

/** A transaction for `--json`: the body as base64. */
export function transactionJson({ message, ...transaction }: TransactionInfo): object {
  if (message === null) return transaction;
  const { body, ...rest } = message;
  return { ...transaction, message: { ...rest, bodyBase64: body.toString('base64') } };
}
