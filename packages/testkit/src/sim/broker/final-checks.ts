import { storedMessageId, storedQueueId, storedQueueOffset } from '@raftmq/protocol';
import { type LogReferee } from '../../model/log-referee.js';
import { type World } from '../world.js';
import { type BrokerNode } from './client-network.js';

/** Every queue of a node reads as the committed log says: dense, each offset the one message that it always was. */
export async function checkQueues(
  world: World,
  node: BrokerNode,
  referee: LogReferee,
): Promise<void> {
  const { queueIndex } = node.application!;
  const log = node.log!;
  for (const [topic, { queues }] of referee.topics) {
    for (const [queueId, queue] of queues.entries()) {
      if (queue === undefined) continue;
      const where = `${topic}/${queueId} on n${node.id}`;
      if (queueIndex.maxOffset(topic, queueId) !== queue.length) {
        world.violate(
          'offset-continuity',
          `${where} ends at ${queueIndex.maxOffset(topic, queueId)}, not ${queue.length}`,
        );
      }
      for (let offset = queueIndex.minOffset(topic, queueId); offset < queue.length; offset++) {
        const slice = queueIndex.read(topic, queueId, offset, 1);
        const record = await log.readRecord(slice.positions[0]!, slice.sizesBytes[0]!);
        if (record === null) continue;
        const expected = queue[offset]!;
        if (
          slice.fromOffset !== offset ||
          storedMessageId(record) !== expected.messageId ||
          storedQueueOffset(record) !== offset ||
          storedQueueId(record) !== queueId
        ) {
          world.violate(
            'offset-continuity',
            `offset ${offset} of ${where} is ${storedMessageId(record)}, not ${expected.messageId}`,
          );
        }
      }
    }
  }
}
