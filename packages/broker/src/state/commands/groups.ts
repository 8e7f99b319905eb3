import { MqError } from '@raftmq/base';
import { type GroupConfig } from '../../messaging.js';
import { newDelivery } from '../../pop/rows.js';
import { readGroup, writeGroup } from '../config-codec.js';
import { GroupRow } from '../tables.js';
import { type ApplyContext, type CommandKind } from './command-kind.js';

export interface PutGroup {
  readonly kind: 'put-group';
  readonly group: GroupConfig;
  /** An existing group stays as it is. */
  readonly ifMissing: boolean;
}

export interface DeleteGroup {
  readonly kind: 'delete-group';
  readonly name: string;
}

export const putGroupKind: CommandKind<PutGroup> = {
  number: 3,
  write: (writer, command) => {
    writer.flag(command.ifMissing);
    writeGroup(writer, command.group);
  },
  read: (reader) => ({ kind: 'put-group', ifMissing: reader.flag(), group: readGroup(reader) }),
  apply: putGroup,
};

export const deleteGroupKind: CommandKind<DeleteGroup> = {
  number: 4,
  write: (writer, command) => writer.text(command.name),
  read: (reader) => ({ kind: 'delete-group', name: reader.text() }),
  apply: ({ tables }, { name }) => {
    const group = tables.groups.get(name);
    if (group !== undefined) tables.deleteGroup(group);
    return null;
  },
};

function putGroup(context: ApplyContext, command: PutGroup): MqError | null {
  const { tables, index } = context;
  const { group: config, ifMissing } = command;
  const row = tables.groups.get(config.name);
  if (row === undefined) {
    tables.putGroup(new GroupRow(config));
    // Its members may be connected already, and were told of defaults.
    tables.groupChanged(config.name);
    return null;
  }
  if (ifMissing) return null;
  if (config.fifo !== row.config.fifo) {
    const busy = [...row.deliveries.active()].find((delivery) => !delivery.state.quiet);
    if (busy !== undefined) {
      return new MqError(
        'PRECONDITION_FAILED',
        `group ${config.name} has messages in flight on topic ${busy.topic}, queue ${busy.queueId}; ` +
          'ordered and concurrent delivery can be exchanged only when everything handed out is acknowledged',
      );
    }
    for (const delivery of row.deliveries.wakeAll(config.fifo)) {
      delivery.state = newDelivery(config.fifo, delivery.state.nextOffset, index);
      tables.deliveryChanged(delivery);
    }
  }
  row.config = config;
  tables.changed(row);
  tables.groupChanged(config.name);
  return null;
}
