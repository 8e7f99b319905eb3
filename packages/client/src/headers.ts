import { createHmac } from 'node:crypto';
import { type CompiledClientOptions } from './options.js';

/** Our version, as servers see it. */
export const CLIENT_VERSION = '5.1.0';

/**
 * The headers of every call. Rebuilt once a second at most: only the date, and the signature over it, change.
 */
export class CallHeaders {
  readonly #options: CompiledClientOptions;
  readonly #fixed: Readonly<Record<string, string>>;
  #current: Readonly<Record<string, string>> = {};
  #second = -1;

  constructor(options: CompiledClientOptions, clientId: string) {
    this.#options = options;
    this.#fixed = {
      'x-mq-client-id': clientId,
      'x-mq-language': 'RAFTMQ_NODE',
      'x-mq-client-version': CLIENT_VERSION,
      'x-mq-protocol': 'v2',
      'x-mq-namespace': options.namespace,
    };
  }

  /** @returns an object that the caller must not change */
  at(nowMs: number): Readonly<Record<string, string>> {
    const second = Math.floor(nowMs / 1000);
    if (second === this.#second) return this.#current;
    this.#second = second;
    const dateTime = new Date(second * 1000).toISOString().replace(/[-:]|\.\d+/g, '');
    const { credentials } = this.#options;
    this.#current = {
      ...this.#fixed,
      'x-mq-date-time': dateTime,
      ...(credentials === null
        ? {}
        : {
            authorization:
              `MQv2-HMAC-SHA1 Credential=${credentials.accessKey}, SignedHeaders=x-mq-date-time, ` +
              `Signature=${sign(credentials.secretKey, dateTime)}`,
          }),
    };
    return this.#current;
  }
}

function sign(secretKey: string, text: string): string {
  return createHmac('sha1', secretKey).update(text).digest('hex').toUpperCase();
}
