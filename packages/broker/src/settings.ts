import { commitLogSettings } from '@raftmq/broker-store';
import { checkRaftCoreConfig, raftCoreSettings, raftDriverSettings } from '@raftmq/raft';
import { type SettingsOf } from '@raftmq/base';
import { parseDelayLevels } from '@raftmq/protocol';
import { checkNodeSettings, nodeSettings } from './config.js';
import { messagingServiceSettings } from './messaging-service/settings.js';
import { timerSettings } from './timers/settings.js';
import { querySettings } from './query/settings.js';
import { stateSettings } from './state/settings.js';

/** All settings of a broker: its own, and those of the parts that it opens. `--help` prints this table. */
export const brokerSettings = {
  ...nodeSettings,
  ...commitLogSettings,
  ...messagingServiceSettings,
  ...timerSettings,
  ...stateSettings,
  ...querySettings,
  ...raftDriverSettings,
  ...raftCoreSettings,
};

export type BrokerSettings = SettingsOf<typeof brokerSettings>;

/**
 * Checks what a single setting cannot see, for the broker and its parts.
 * @throws MqError CONFIG_INVALID naming the settings that do not go together
 */
export function checkBrokerSettings(settings: BrokerSettings): void {
  checkNodeSettings(settings);
  parseDelayLevels(settings.messageDelayLevel);
  checkRaftCoreConfig(settings);
}
