import { RpcError } from '../status.js';
import { formatTimeout } from './grpc-text.js';
import { fieldKind, kindOf } from './header-field.js';
import { HpackTableEncoder, keepRule, staticIndex } from './hpack-table-encoder.js';
import { HEADER_TABLE_BYTES } from './limits.js';
import { ACCEPTED_ENCODINGS } from './message-encoding.js';

/** Fields of one call, as HPACK counts them: what every server takes. They fit into one frame of any peer. */
const HEADERS_BYTES_MAX = 8 * 1024;
const POST = staticIndex(':method', 'POST');
const USER_AGENT = 'raftmq-node';
/** Requests are encoded one at a time, on every connection. */
const block = Buffer.alloc(HEADERS_BYTES_MAX + 4 * 1024);

const VALUE = /^[\x20-\x7e]*$/;

export type RequestHeaders = Readonly<Record<string, string>>;

/**
 * Whether these header fields can travel; asked before a call begins, so that no stream is opened in vain.
 * @throws RpcError INVALID_ARGUMENT with the name of the one that cannot
 */
export function checkHeaders(path: string, headers: RequestHeaders): void {
  let sizeBytes = path.length;
  for (const name in headers) {
    const value = headers[name]!;
    sizeBytes += name.length + value.length + 32;
    const kind = kindOf(name);
    if ((kind !== fieldKind.TEXT && kind !== fieldKind.HOP) || !VALUE.test(value)) {
      throw new RpcError(
        'INVALID_ARGUMENT',
        `the header ${JSON.stringify(name)} cannot be sent: names are lower-case tokens, values printable ASCII`,
      );
    }
  }
  if (sizeBytes > HEADERS_BYTES_MAX) {
    throw new RpcError(
      'INVALID_ARGUMENT',
      `the headers of a call may have ${HEADERS_BYTES_MAX} bytes; these have ${sizeBytes}`,
    );
  }
}

/** Makes the header blocks of the requests of one connection. */
export class RequestEncoder {
  readonly #hpack = new HpackTableEncoder(block, HEADER_TABLE_BYTES);
  readonly #scheme: number;
  readonly #authority: string;

  constructor(scheme: 'http' | 'https', authority: string) {
    this.#scheme = staticIndex(':scheme', scheme);
    this.#authority = authority;
  }

  /** The peer lets our table be so large. */
  resize(tableBytesMax: number): void {
    this.#hpack.resize(Math.min(HEADER_TABLE_BYTES, tableBytesMax));
  }

  /**
   * @param timeoutMs Infinity = none
   * @returns the block, valid until the next one is made
   */
  encode(path: string, timeoutMs: number, headers: RequestHeaders): Buffer {
    const hpack = this.#hpack;
    hpack.begin();
    hpack.staticField(POST);
    hpack.staticField(this.#scheme);
    hpack.field(':path', path, keepRule.ALWAYS);
    hpack.field(':authority', this.#authority, keepRule.ALWAYS);
    hpack.field('te', 'trailers', keepRule.ALWAYS);
    hpack.field('content-type', 'application/grpc', keepRule.ALWAYS);
    hpack.field('user-agent', USER_AGENT, keepRule.ALWAYS);
    hpack.field('grpc-accept-encoding', ACCEPTED_ENCODINGS, keepRule.ALWAYS);
    if (timeoutMs !== Infinity) {
      hpack.field('grpc-timeout', formatTimeout(timeoutMs), keepRule.REPEATED);
    }
    for (const name in headers) {
      const rule = name === 'authorization' ? keepRule.SECRET : keepRule.REPEATED;
      // Blanks at the ends may not travel (RFC 9113, 8.2.1), and say nothing.
      hpack.field(name, headers[name]!.trim(), rule);
    }
    return block.subarray(0, hpack.sizeBytes);
  }
}
