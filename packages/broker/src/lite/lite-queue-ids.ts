/**
 * Each lite topic is a queue of its own for delivery: leases, acks and receipt handles name it by an id from here on. Its
 * messages lie in one of the parent topic's queues, among those of other lite topics.
 */
export const LITE_QUEUE_ID_MIN = 0x10_0000;

export function isLiteQueueId(queueId: number): boolean {
  return queueId >= LITE_QUEUE_ID_MIN;
}
