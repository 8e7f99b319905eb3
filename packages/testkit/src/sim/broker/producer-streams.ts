import { type Prng } from '@raftmq/base';
import { type ProducerLink } from '@raftmq/broker/internal';
import { decodeRecoverOrphanedTransaction } from '@raftmq/protocol';
import { type World } from '../world.js';
import { type Producer } from './producer.js';

/** The streams over which the leader asks producers: some questions get lost, and some producers are not there. */
export function producerStreams(
  world: World,
  random: Prng,
  latencyMs: number,
  producers: () => readonly Producer[],
): ProducerLink {
  return {
    find: async () =>
      producers()
        .filter(() => random.chance(0.9))
        .map(({ name }) => ({ clientId: name, nodeId: 0 })),
    hand: async ({ clientId }, command) => {
      const producer = producers().find(({ name }) => name === clientId);
      const question = decodeRecoverOrphanedTransaction(command);
      if (producer === undefined || question === null || random.chance(0.1)) return false;
      const { message, transactionId } = question;
      world.schedule(latencyMs * (0.5 + random.next()), null, 'check', () => {
        producer.check(message.topic.name, transactionId).catch((error: unknown) => {
          world.report('no-crash', `${clientId}: ${String(error)}`);
        });
      });
      return true;
    },
  };
}
