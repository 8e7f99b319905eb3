import { MqError } from '@raftmq/base';
import { filterType } from '@raftmq/protocol';
import { type Subscription } from '../settings.js';

/** Which messages of a topic: `*`, `TagA`, `TagA || TagB`, or an SQL-92 condition over properties. */
export type FilterInput = string | { readonly sql: string };

/** Subscriptions by topic, as users write them. */
export type SubscriptionsInput = Readonly<Record<string, FilterInput>>;

/** @throws MqError ILLEGAL_TOPIC for an empty name */
export function compileSubscription(topic: string, filter: FilterInput): Subscription {
  if (topic === '') throw new MqError('ILLEGAL_TOPIC', 'the topic of a subscription is empty');
  return typeof filter === 'string'
    ? { topic, filterType: filterType.TAG, expression: filter === '' ? '*' : filter }
    : { topic, filterType: filterType.SQL, expression: filter.sql };
}
