import { ConcurrentModel } from './concurrent-model.js';
import { type DeliveryModel, type DeliveryStart, type DeliverySubject } from './delivery-facts.js';
import { OrderedModel } from './ordered-model.js';

export { type DeliveryModel, type DeliveryStart } from './delivery-facts.js';

/** A group in a queue, by the contract, where `start` puts it. */
export function newDeliveryModel(
  ordered: boolean,
  subject: DeliverySubject,
  start: DeliveryStart = { offset: 0, epoch: 0 },
): DeliveryModel {
  return ordered ? new OrderedModel(subject, start) : new ConcurrentModel(subject, start);
}
