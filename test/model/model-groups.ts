import { type GroupConfig, type TopicConfig } from '@raftmq/broker/internal';
import { ALL_MESSAGES, parseMessageFilter, tagFilter, type MessageFilter } from '@raftmq/protocol';
import { type LoggedMessage, type SeenDelivery } from '@raftmq/testkit';

const READ_WRITE = 6;
/** What a model run sends to. */
export const TOPICS: readonly TopicConfig[] = [
  { name: 'normal', type: 'NORMAL', queues: 2, permission: READ_WRITE },
  { name: 'fifo', type: 'FIFO', queues: 2, permission: READ_WRITE },
  { name: 'urgent', type: 'PRIORITY', queues: 3, permission: READ_WRITE },
  { name: 'lite', type: 'LITE', queues: 2, permission: READ_WRITE },
  { name: 'delay', type: 'DELAY', queues: 1, permission: READ_WRITE },
  { name: 'tx', type: 'TRANSACTION', queues: 1, permission: READ_WRITE },
];

/** A consumer group of a model run, and what it reads. */
export interface ModelGroup {
  readonly config: GroupConfig;
  readonly topic: string;
  readonly filter: MessageFilter;
  /** What `filter` is to let through, said in another way. */
  readonly wants: (message: LoggedMessage) => boolean;
}

function group(
  name: string,
  topic: string,
  fifo: boolean,
  maxAttempts: number,
  tags: readonly string[] | null = null,
): ModelGroup {
  return {
    config: { name, fifo, maxAttempts },
    topic,
    filter: tags === null ? ALL_MESSAGES : tagFilter(tags),
    wants: ({ tag }) => tags === null || (tag !== null && tags.includes(tag)),
  };
}

const SQL_FILTER_TYPE = 2;

function sqlGroup(
  name: string,
  topic: string,
  fifo: boolean,
  expression: string,
  wants: (property: (name: string) => string | undefined) => boolean,
): ModelGroup {
  return {
    config: { name, fifo, maxAttempts: 3 },
    topic,
    filter: parseMessageFilter(SQL_FILTER_TYPE, expression),
    wants: ({ properties }) => wants((property) => properties.get(property)),
  };
}

export const GROUPS: readonly ModelGroup[] = [
  group('all', 'normal', false, 4),
  group('picky', 'normal', false, 3, ['a', 'b']),
  sqlGroup(
    'dear',
    'normal',
    false,
    "price BETWEEN 5 AND 20.5 AND (color = 'red' OR color IS NULL)",
    (property) => {
      const price = Number(property('price') ?? 'none');
      return price >= 5 && price <= 20.5 && (property('color') ?? 'red') === 'red';
    },
  ),
  group('ordered', 'fifo', true, 3),
  group('ordered-picky', 'fifo', true, 4, ['a']),
  sqlGroup('ordered-dear', 'fifo', true, "NOT color = 'red' AND TAGS <> 'b'", (property) => {
    const [color, tag] = [property('color'), property('TAGS')];
    return color !== undefined && color !== 'red' && tag !== undefined && tag !== 'b';
  }),
  group('urgent', 'urgent', false, 3),
  group('ordered-urgent', 'urgent', true, 3),
  group('lite', 'lite', false, 3),
  group('ordered-lite', 'lite', true, 4, ['a', 'b']),
  group('late', 'delay', false, 17),
  group('settled', 'tx', false, 17),
];

/** A delivery that its consumer remembers, valid or not. */
export interface Handle extends SeenDelivery {
  readonly group: ModelGroup;
}

/** Names the message of a delivery, for its group. */
export function placeOf({ group, topic, queueId, queueOffset, epoch }: Handle): string {
  return `${group.config.name}/${topic}/${queueId}/${queueOffset}/${epoch}`;
}
