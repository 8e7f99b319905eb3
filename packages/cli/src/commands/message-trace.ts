import { type MessageTrace, type TraceEvent } from '@raftmq/client';
import { type Command, JSON_OPTION } from '../command.js';
import { ADMIN_OPTIONS, withAdmin } from '../connection.js';
import { messageJson, messageLines, missingNote, printable, timeText } from '../message-text.js';
import { type Output, table } from '../output.js';

/** `raftmq message trace`. */
export const messageTraceCommand: Command = {
  name: 'message trace',
  summary:
    'Shows what happened to a message: born, stored, deliveries, acks, and who has consumed it.',
  positionals: ['ID'],
  options: {
    topic: { value: 'NAME', doc: 'only in this topic' },
    ...ADMIN_OPTIONS,
    ...JSON_OPTION,
  },
  notes: [
    'Everything is read from the log of the broker group, as long as retention keeps the message; no client has to be',
    'configured for it. Renewals of leases by living clients are not shown.',
  ],
  run: async ({ positionals, options, output }) => {
    const traces = await withAdmin(options, (admin) =>
      admin.traceMessage(positionals[0]!, options.text('topic')),
    );
    if (options.flag('json')) {
      output.data(JSON.stringify({ traces: traces.map(traceJson) }));
      return 0;
    }
    traces.forEach((trace, i) => {
      if (i > 0) output.data('');
      show(trace, output);
    });
    return 0;
  },
};

function traceJson(trace: MessageTrace): object {
  return { ...trace, message: messageJson(trace.message) };
}

function show(
  { message, events, groups, complete, missingBytes }: MessageTrace,
  output: Output,
): void {
  for (const line of messageLines(message)) output.data(line);
  output.data('');
  const { bornTimestamp, bornHost, storeTimestamp, storeHost, entryTerm } = message;
  const rows = [
    [timeText(bornTimestamp), 'BORN', '', '', `at ${printable(bornHost)}`],
    [timeText(storeTimestamp), 'STORED', '', '', `by ${storeHost}, leader of term ${entryTerm}`],
    ...events.map((event) => [
      timeText(event.timestamp),
      printable(event.what),
      printable(event.group),
      event.what === 'DELIVERED' ? String(event.attempt) : '',
      detailOf(event),
    ]),
  ];
  for (const line of table(['TIME', 'WHAT', 'GROUP', 'ATTEMPT', 'DETAIL'], rows)) output.data(line);
  if (groups.length > 0) {
    output.data('');
    const lines = table(
      ['GROUP', 'STATUS'],
      groups.map(({ group, status }) => [printable(group), status]),
    );
    for (const line of lines) output.data(line);
  }
  if (!complete)
    output.note(
      'the log behind the message is too long to be read to its end: later events are missing',
    );
  const note = missingNote(missingBytes);
  if (note !== null) output.note(note);
}

function detailOf({ what, clientId, invisibleMs, leaseId, timestamp }: TraceEvent): string {
  const until = `until ${timeText(timestamp + invisibleMs)}`;
  switch (what) {
    case 'DELIVERED':
      return `to ${printable(clientId)}, leased ${until}`;
    case 'INVISIBLE_CHANGED':
      return `hidden ${until}, lease ${leaseId}`;
    case 'ACKED':
      return `lease ${leaseId}`;
    case 'DEAD_LETTERED':
      return 'copied to the dead-letter queue';
    default:
      return '';
  }
}
