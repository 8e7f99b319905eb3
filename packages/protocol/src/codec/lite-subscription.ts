import { type Resource } from '../model/message.js';
import { NO_RESOURCE, readResource, writeResource } from './shared.js';
import { WireReader, WireWriter } from './wire.js';

/** Numbers of the wire enum LiteSubscriptionAction. */
export const liteAction = {
  PARTIAL_ADD: 0,
  PARTIAL_REMOVE: 1,
  COMPLETE_ADD: 2,
  COMPLETE_REMOVE: 3,
} as const;

/** Where a group that is new to a lite topic begins. */
export type LiteStart =
  | { readonly kind: 'last' | 'min' | 'max' }
  | { readonly kind: 'offset'; readonly offset: number }
  | { readonly kind: 'tail'; readonly count: number }
  | { readonly kind: 'time'; readonly timestampMs: number };

/** A SyncLiteSubscriptionRequest. */
export interface LiteSubscriptionRequest {
  /** Wire number of the action; see {@link liteAction}. */
  readonly action: number;
  /** The topic of type LITE. */
  readonly topic: Resource;
  readonly group: Resource;
  readonly liteTopics: readonly string[];
  /** 0 when absent. */
  readonly version: number;
  /** null when not told. */
  readonly start: LiteStart | null;
}

const startPolicies: readonly LiteStart[] = [{ kind: 'last' }, { kind: 'min' }, { kind: 'max' }];

/** @throws MqError BAD_REQUEST on malformed bytes; the field's code for a text that is no UTF-8 */
export function decodeSyncLiteSubscriptionRequest(frame: Buffer): LiteSubscriptionRequest {
  const reader = new WireReader(frame);
  let action = 0;
  let topic = NO_RESOURCE;
  let group = NO_RESOURCE;
  const liteTopics: string[] = [];
  let version = 0;
  let start: LiteStart | null = null;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 34) liteTopics.push(reader.text('ILLEGAL_LITE_TOPIC'));
    else if (tag === 8) action = reader.int32();
    else if (tag === 18) topic = readResource(reader, 'ILLEGAL_TOPIC');
    else if (tag === 26) group = readResource(reader, 'ILLEGAL_CONSUMER_GROUP');
    else if (tag === 40) version = reader.int64();
    else if (tag === 50) start = readStart(reader);
    else reader.skip(tag);
  }
  return { action, topic, group, liteTopics, version, start };
}

function readStart(reader: WireReader): LiteStart | null {
  const outer = reader.enter();
  let start: LiteStart | null = null;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 8) start = startPolicies[reader.int32()] ?? null;
    else if (tag === 16) start = { kind: 'offset', offset: reader.int64() };
    else if (tag === 24) start = { kind: 'tail', count: reader.int64() };
    else if (tag === 32) start = { kind: 'time', timestampMs: reader.int64() };
    else reader.skip(tag);
  }
  reader.leave(outer);
  return start;
}

/** Encodes a SyncLiteSubscriptionRequest. */
export function encodeSyncLiteSubscriptionRequest(request: LiteSubscriptionRequest): Buffer {
  const writer = new WireWriter(128 + request.liteTopics.length * 32);
  if (request.start !== null) {
    const mark = writer.size;
    writeStart(writer, request.start);
    writer.message(6, mark);
  }
  if (request.version !== 0) writer.presentInt(5, request.version);
  for (let i = request.liteTopics.length - 1; i >= 0; i--) {
    writer.presentText(4, request.liteTopics[i]!);
  }
  writeResource(writer, 3, request.group);
  writeResource(writer, 2, request.topic);
  writer.int(1, request.action);
  return writer.finish();
}

function writeStart(writer: WireWriter, start: LiteStart): void {
  switch (start.kind) {
    case 'last':
      return writer.presentInt(1, 0);
    case 'min':
      return writer.presentInt(1, 1);
    case 'max':
      return writer.presentInt(1, 2);
    case 'offset':
      return writer.presentInt(2, start.offset);
    case 'tail':
      return writer.presentInt(3, start.count);
    case 'time':
      return writer.presentInt(4, start.timestampMs);
  }
}
