import { type ErrorCode } from '@raftmq/base';
import { type Resource } from '../model/message.js';
import { type WireReader, WireWriter } from './wire.js';

/** Reads a Resource { 1 resource_namespace, 2 name }; `code` is the error for a name that is no UTF-8. */
export function readResource(reader: WireReader, code: ErrorCode): Resource {
  const outer = reader.enter();
  let namespace = '';
  let name = '';
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 18) name = reader.text(code);
    else if (tag === 10) namespace = reader.text(code);
    else reader.skip(tag);
  }
  reader.leave(outer);
  return { namespace, name };
}

/** Writes a Resource as field `field`. */
export function writeResource(writer: WireWriter, field: number, resource: Resource): void {
  const mark = writer.size;
  writer.text(2, resource.name);
  writer.text(1, resource.namespace);
  writer.message(field, mark);
}

/** The bytes inside a Resource, for those who write the same one many times. */
export function encodeResource(resource: Resource): Buffer {
  const writer = new WireWriter(resource.namespace.length + resource.name.length + 8);
  writer.text(2, resource.name);
  writer.text(1, resource.namespace);
  return writer.finish();
}

/** A resource without names: what an absent field means. */
export const NO_RESOURCE: Resource = { namespace: '', name: '' };
