import { liteTurn, type GroupTurns, type QueueTurn } from '../messaging-service/queue-turns.js';
import { type Tables } from '../state/tables.js';

/** Lite topics that one receive call looks at. */
const TURNS_MAX = 256;

/**
 * The lite topics of a client that have something new, or something handed out that may come back. What has neither
 * leaves the client's list until a message arrives.
 */
export function readyLiteTurns(
  tables: Tables,
  view: GroupTurns,
  topic: string,
  group: string,
  clientId: string,
): readonly QueueTurn[] {
  const client = tables.lite.client(topic, group, clientId);
  if (client === undefined) return [];
  const deliveries = tables.groups.get(group)?.deliveries;
  const turns: QueueTurn[] = [];
  for (const id of client.ready) {
    const lite = tables.lite.byId(topic, id);
    // Not what was never out: a batch in order that is repeated may be smaller, and leaves out what was in it before.
    const { committedOffset = 0, open = 0 } = deliveries?.progress(topic, id) ?? {};
    const known = view.lite.get(id);
    const next = Math.max(committedOffset, known?.scanFrom ?? 0);
    const waiting = lite !== undefined && next < lite.endOffset;
    if (!waiting && open === 0) {
      client.ready.delete(id);
      if (known?.busy !== true) view.lite.delete(id);
      continue;
    }
    turns.push(liteTurn(view, id));
    if (turns.length >= TURNS_MAX) break;
  }
  // The next call begins with others.
  for (const { queueId } of turns) {
    client.ready.delete(queueId);
    client.ready.add(queueId);
  }
  return turns;
}
