import { type DeadLetterInfo } from '@raftmq/client';
import { type OptionTable, type ParsedOptions, UsageError } from '../command.js';

/** Which dead letters a command is about. */
export const FILTER_OPTION: OptionTable = {
  filter: {
    value: 'KEY=VALUE',
    doc: 'a property of the message, or topic=, tag=, key= or reason=; may be repeated, all must hold',
    multiple: true,
  },
};

/** @throws UsageError for a filter without "=" */
export function letterFilter(options: ParsedOptions): (letter: DeadLetterInfo) => boolean {
  const tests = options.list('filter').map((text) => {
    const at = text.indexOf('=');
    if (at <= 0) throw new UsageError(`--filter is "${text}"; it must be KEY=VALUE`);
    return testOf(text.slice(0, at), text.slice(at + 1));
  });
  return (letter) => tests.every((test) => test(letter));
}

function testOf(name: string, value: string): (letter: DeadLetterInfo) => boolean {
  return (letter) => {
    // A property of the sender wins over the words of this tool.
    if (Object.hasOwn(letter.properties, name)) return letter.properties[name] === value;
    if (name === 'topic') return letter.originTopic === value;
    if (name === 'tag') return letter.tag === value;
    if (name === 'key') return letter.keys.includes(value);
    return name === 'reason' && letter.reason === value;
  };
}
