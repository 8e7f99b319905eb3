export { Broker, type BrokerOptions } from './broker.js';
export { brokerSettings, type BrokerSettings } from './settings.js';
