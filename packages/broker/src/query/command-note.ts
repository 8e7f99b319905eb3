import { type Command } from '../state/commands/index.js';

/** The message that a trace is about. */
export interface TraceTarget {
  readonly messageId: string;
  readonly topic: string;
  readonly queueId: number;
  readonly queueOffset: number;
}

/** How a transaction ended. */
export type TransactionEnd = 'COMMITTED' | 'ROLLED_BACK' | 'DISCARDED';

/** What a command did to one message, as its bytes tell. */
export interface CommandNote {
  readonly what: 'DELIVERED' | 'ACKED' | 'INVISIBLE_CHANGED' | 'DEAD_LETTERED' | TransactionEnd;
  readonly group: string;
  /** Who got it; '' for commands that do not say. */
  readonly clientId: string;
  /** The lease that the client showed; 0 for commands that show none. */
  readonly leaseId: number;
  /** For how long it is hidden from its group from then on; 0 for commands that hide nothing. */
  readonly invisibleMs: number;
  /** The next delivery does not count as one more attempt. */
  readonly suspended: boolean;
}

/** What `command` says about the target; null when it is about something else. */
export function noteOf(command: Command, target: TraceTarget): CommandNote | null {
  switch (command.kind) {
    case 'deliver': {
      if (!namesQueue(command, target)) return null;
      const { queueOffset } = target;
      const run = command.runs.find(
        ({ fromOffset, count }) => queueOffset >= fromOffset && queueOffset < fromOffset + count,
      );
      if (run === undefined || run.dropped) return null;
      const { group, clientId, invisibleMs } = command;
      return note('DELIVERED', group, { clientId, invisibleMs });
    }
    case 'ack': {
      if (!namesQueue(command, target)) return null;
      const found = command.targets.find(({ offset }) => offset === target.queueOffset);
      return found === undefined ? null : note('ACKED', command.group, { leaseId: found.leaseId });
    }
    case 'change-invisible': {
      if (!namesQueue(command, target) || !command.offsets.includes(target.queueOffset))
        return null;
      const { group, leaseId, invisibleMs, suspend } = command;
      return note('INVISIBLE_CHANGED', group, { leaseId, invisibleMs, suspended: suspend });
    }
    case 'dead-letter':
      return namesQueue(command, target) && command.offset === target.queueOffset
        ? note('DEAD_LETTERED', command.group, {})
        : null;
    default:
      return null;
  }
}

function namesQueue(
  command: { readonly topic: string; readonly queueId: number },
  target: TraceTarget,
): boolean {
  return command.queueId === target.queueId && command.topic === target.topic;
}

export function note(
  what: CommandNote['what'],
  group: string,
  fields: Partial<Omit<CommandNote, 'what' | 'group'>>,
): CommandNote {
  return { what, group, clientId: '', leaseId: 0, invisibleMs: 0, suspended: false, ...fields };
}
