import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { loadSync, type MessageTypeDefinition, type PackageDefinition } from '@grpc/proto-loader';
import { errorText, MqError } from '@raftmq/base';
import { wireCheckOf } from './wire-check.js';

/** Where the `.proto` files are; the same depth from `src/` and from `dist/`. */
export const PROTO_DIRECTORY = join(__dirname, '..', '..', '..', 'proto');

const LOADER_OPTIONS = {
  keepCase: false,
  longs: Number,
  defaults: true,
  oneofs: true,
  includeDirs: [PROTO_DIRECTORY],
};

/** How one method is called, with both codecs. */
export interface ProtoMethod {
  /** As in `:path`: `/package.Service/Method`. */
  readonly path: string;
  readonly name: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly request: MessageCodec<object>;
  readonly response: MessageCodec<object>;
}

/** Turns messages into bytes and back. `decode` throws a plain Error on bytes that are no such message. */
export interface MessageCodec<T> {
  encode(message: T): Buffer;
  /** `bytes` fields are views of `bytes`. */
  decode(bytes: Buffer): T;
}

const loaded = new Map<string, PackageDefinition>();

/**
 * Reads one `.proto` file below `proto/`, with everything it imports; each file once per process.
 *
 * One set of options for all: camelCase keys; 64-bit integers and enums as numbers; absent fields get their defaults
 * ('', 0, false, [] and null for messages), except `optional` ones and members of a oneof, which stay absent; each oneof
 * adds a key with its name that holds the name of the member present.
 * @throws MqError CONFIG_INVALID when the file is missing or cannot be parsed: the installation is incomplete
 */
export function loadProto(file: string): PackageDefinition {
  const known = loaded.get(file);
  if (known !== undefined) return known;
  const path = join(PROTO_DIRECTORY, file);
  if (!existsSync(path)) {
    throw new MqError('CONFIG_INVALID', `${path} is missing: install RaftMQ again`);
  }
  try {
    const definition = loadSync(file, LOADER_OPTIONS);
    loaded.set(file, definition);
    return definition;
  } catch (error) {
    throw new MqError('CONFIG_INVALID', `cannot read ${path}: ${errorText(error)}`, {
      cause: error,
    });
  }
}

/**
 * The file that declares a service or message, by its package: `apache.rocketmq.v2.X` is in
 * `apache/rocketmq/v2/service.proto`, `raftmq.<room>.v1.X` in `raftmq/<room>/v1/<room>.proto`.
 */
function fileOf(fullName: string): string {
  const parts = fullName.split('.').slice(0, 3);
  const file = parts[0] === 'raftmq' ? parts[1]! : 'service';
  return `${parts.join('/')}/${file}.proto`;
}

/**
 * All methods of a service by full name, such as `raftmq.namesrv.v1.NameServer`.
 * @throws MqError CONFIG_INVALID when `proto/` has no such service
 */
export function loadService(fullName: string): ReadonlyMap<string, ProtoMethod> {
  const definition = loadProto(fileOf(fullName))[fullName];
  if (definition === undefined || 'format' in definition) {
    throw new MqError('CONFIG_INVALID', `proto/ has no service ${fullName}`);
  }
  const methods = new Map<string, ProtoMethod>();
  for (const [name, method] of Object.entries(definition)) {
    methods.set(name, {
      path: method.path,
      name,
      requestStream: method.requestStream,
      responseStream: method.responseStream,
      request: codecOf(method.requestType),
      response: codecOf(method.responseType),
    });
  }
  return methods;
}

/**
 * The generic codec of a message by full name, such as `apache.rocketmq.v2.Settings`. `T` is what the caller knows about
 * its shape; nothing checks it.
 * @throws MqError CONFIG_INVALID when `proto/` has no such message
 */
export function loadMessage<T extends object>(fullName: string): MessageCodec<T> {
  const definition = loadProto(fileOf(fullName))[fullName];
  if (definition === undefined || !('serialize' in definition)) {
    throw new MqError('CONFIG_INVALID', `proto/ has no message ${fullName}`);
  }
  return codecOf(definition as MessageTypeDefinition<object, object>) as MessageCodec<T>;
}

const codecs = new WeakMap<object, MessageCodec<object>>();

/** The generic codec of a message type, with a check in front that the library does not make. */
function codecOf(definition: MessageTypeDefinition<object, object>): MessageCodec<object> {
  const known = codecs.get(definition.type);
  if (known !== undefined) return known;
  const { serialize, deserialize } = definition;
  const check = wireCheckOf(definition.type);
  const codec: MessageCodec<object> = {
    encode: serialize,
    decode(bytes) {
      check(bytes);
      return deserialize(bytes);
    },
  };
  codecs.set(definition.type, codec);
  return codec;
}
