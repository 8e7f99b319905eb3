/** Types of a topic: what its messages may be. */
export type TopicType = 'NORMAL' | 'FIFO' | 'DELAY' | 'TRANSACTION' | 'MIXED' | 'LITE' | 'PRIORITY';

/** Numbers of the wire enum MessageType. 0 (unspecified) breaks clients and is never sent. */
export const messageType = {
  NORMAL: 1,
  FIFO: 2,
  DELAY: 3,
  TRANSACTION: 4,
  LITE: 5,
  PRIORITY: 6,
} as const;

export type MessageTypeName = keyof typeof messageType;
export type MessageType = (typeof messageType)[MessageTypeName];

const acceptLists: Readonly<Record<TopicType, readonly MessageType[]>> = {
  NORMAL: [messageType.NORMAL],
  FIFO: [messageType.FIFO],
  DELAY: [messageType.DELAY],
  TRANSACTION: [messageType.TRANSACTION],
  MIXED: [messageType.NORMAL, messageType.FIFO, messageType.DELAY, messageType.TRANSACTION],
  LITE: [messageType.LITE],
  PRIORITY: [messageType.PRIORITY],
};

/** All topic types, in the order of their documentation. */
export const topicTypes = Object.keys(acceptLists) as readonly TopicType[];

/** The accept_message_types of a route for topics of `type`; the caller must not change the list. */
export function acceptedMessageTypes(type: TopicType): readonly MessageType[] {
  return acceptLists[type];
}

/** Whether a topic of `type` takes messages of `message`. MIXED takes everything, as RocketMQ's check does. */
export function topicAccepts(type: TopicType, message: MessageType): boolean {
  return type === 'MIXED' || acceptLists[type].includes(message);
}

/** The topic type that takes messages of `type` and nothing else: what auto-creation chooses. */
export function topicTypeFor(type: MessageType): TopicType {
  return messageTypeName(type);
}

/** The name of a message type. */
export function messageTypeName(type: MessageType): MessageTypeName {
  return names[type];
}

/** Reads a topic type written by a person or another process; null when it is none. */
export function parseTopicType(text: string): TopicType | null {
  return topicTypes.find((type) => type === text) ?? null;
}

const names: Readonly<Record<MessageType, MessageTypeName>> = {
  1: 'NORMAL',
  2: 'FIFO',
  3: 'DELAY',
  4: 'TRANSACTION',
  5: 'LITE',
  6: 'PRIORITY',
};
