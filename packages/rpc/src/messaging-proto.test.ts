import { dirname, join } from 'node:path';
import { expect, test } from '@jest/globals';
import { loadSync, type PackageDefinition } from '@grpc/proto-loader';
import { PROTO_DIRECTORY } from './load.js';

/** Our copy of the public interface against the one inside the official Node.js client, descriptor by descriptor. */
const OFFICIAL_DIRECTORY = join(
  dirname(require.resolve('rocketmq-client-nodejs/package.json')),
  'proto',
);

function load(directory: string): PackageDefinition {
  return loadSync('apache/rocketmq/v2/service.proto', { includeDirs: [directory], keepCase: true });
}

interface Described {
  readonly format?: string;
  readonly type?: {
    readonly field?: readonly Field[];
    readonly oneofDecl?: readonly { readonly name: string }[];
    readonly value?: readonly { readonly name: string; readonly number: number }[];
  };
}

interface Field {
  readonly name: string;
  readonly number: number;
  readonly type: string;
  readonly label: string;
  readonly typeName?: string;
  readonly oneofIndex?: number;
  readonly proto3Optional?: boolean;
}

/** One line per field, enum value and method: everything that shows on the wire. */
function lines(definition: PackageDefinition): string[] {
  const found: string[] = [];
  for (const [name, entry] of Object.entries(definition)) {
    if (!name.startsWith('apache.')) continue;
    const { type } = entry as Described;
    if (type?.value !== undefined) {
      for (const value of type.value) found.push(`${name}.${value.name} = ${value.number}`);
    } else if (type?.field !== undefined) {
      found.push(`message ${name}`);
      for (const field of type.field)
        found.push(`${name}.${describeField(field, type.oneofDecl ?? [])}`);
    } else {
      for (const [
        method,
        { path, requestStream, responseStream, requestType, responseType },
      ] of Object.entries(entry)) {
        const types = [requestType, responseType].map(
          (type) => (type as { type: { name: string } }).type.name,
        );
        found.push(
          `${name}.${method} ${path} ${types.join(' -> ')} ${requestStream} ${responseStream}`,
        );
      }
    }
  }
  return found.sort();
}

function describeField(field: Field, oneofs: readonly { readonly name: string }[]): string {
  const oneof = !Object.hasOwn(field, 'oneofIndex') ? '' : ` in ${oneofs[field.oneofIndex!]?.name}`;
  const optional = field.proto3Optional === true ? ' optional' : '';
  return `${field.name} = ${field.number}: ${field.label} ${field.type} ${field.typeName ?? ''}${oneof}${optional}`;
}

test('the public interface is the official one', () => {
  const ours = lines(load(PROTO_DIRECTORY));
  const official = lines(load(OFFICIAL_DIRECTORY));
  // Newer than the copy inside this client, and sent by the official Java client.
  const newer = ours.filter((line) =>
    /client_properties|ClientPropertiesEntry|INVALID_CLIENT_PROPERTIES/.test(line),
  );
  expect(ours.filter((line) => !newer.includes(line))).toEqual(official);
  expect(newer.length).toBeLessThanOrEqual(5);
  expect(official.length).toBeGreaterThan(300);
});
