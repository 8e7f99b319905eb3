/* For tools of this repository that measure: the parts below the public classes. */
export { ClientCore } from './client-core.js';
export { MessageIdGenerator } from './ids.js';
export { messagingPath } from './messaging-rpc.js';
export { defaultConsumerSettings, defaultProducerSettings } from './settings.js';
export { callFailure, isOk, isTransportFailure, statusToError } from './status-error.js';
