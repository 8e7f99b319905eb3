import { MqError } from '@raftmq/base';
import { NameserverClient, statusCode } from '@raftmq/protocol';
import { type RpcService } from '@raftmq/rpc';
import { ChannelPool } from '../channel-pool.js';
import { addressesOf, parseEndpoints } from '../endpoints.js';
import { CallHeaders } from '../headers.js';
import { createClientId } from '../ids.js';
import {
  type ClientOptions,
  compileClientOptions,
  type CompiledClientOptions,
} from '../options.js';
import { callFailure, isTransportFailure, statusToError } from '../status-error.js';
import { type GroupInfo } from './model.js';
import { groupOf, leaderFirst } from './replica-view.js';
import { type WireAdminResult, type WireRaftStatus } from './wire.js';

/** Give NameServers, brokers, or both; NameServers are asked first. */
export interface AdminClientOptions extends Omit<ClientOptions, 'endpoints'> {
  /** NameServers, `host:port;host:port`. */
  readonly namesrv?: string;
  /** Brokers; every group of the cluster has to be among them. */
  readonly endpoints?: string;
}

const ADMIN = 'raftmq.admin.v1.Admin';
/** Changes wait for a leader; that may take an election. */
export const CHANGE_TIMEOUT_MS = 10_000;

/** Calls of the administration service: at one broker group, or at all of them. */
export class AdminCalls {
  readonly #options: CompiledClientOptions;
  readonly #namesrv: NameserverClient | null;
  readonly #brokers: readonly string[];
  readonly #pool: ChannelPool;
  readonly #headers: CallHeaders;
  /** @throws MqError CONFIG_INVALID when neither NameServers nor endpoints are given, or one cannot be read */
  constructor(options: AdminClientOptions) {
    const addresses = (text: string | undefined): readonly string[] =>
      text === undefined || text === '' ? [] : addressesOf(parseEndpoints(text));
    const namesrv = addresses(options.namesrv);
    this.#brokers = addresses(options.endpoints);
    if (namesrv.length + this.#brokers.length === 0) {
      throw new MqError('CONFIG_INVALID', 'give the address of a NameServer or of a broker');
    }
    this.#options = compileClientOptions({ ...options, endpoints: options.endpoints ?? '' });
    this.#namesrv =
      namesrv.length === 0
        ? null
        : new NameserverClient({ addresses: namesrv, timeoutMs: this.#options.requestTimeoutMs });
    this.#pool = new ChannelPool(this.#options);
    this.#headers = new CallHeaders(this.#options, createClientId());
  }

  close(): void {
    this.#namesrv?.close();
    this.#pool.close();
  }

  /**
   * All broker groups, ordered by name.
   * @throws MqError HA_NOT_AVAILABLE when nobody answers, PRECONDITION_FAILED when no group is known
   */
  async groups(): Promise<readonly GroupInfo[]> {
    const groups =
      this.#namesrv === null ? await this.#groupsOfBrokers() : await this.#namesrv.cluster();
    if (groups.length === 0) {
      throw new MqError('PRECONDITION_FAILED', 'no broker is registered at the NameServer');
    }
    return [...groups].sort((a, b) => (a.group < b.group ? -1 : 1));
  }

  /** Asks every broker which group it belongs to. */
  async #groupsOfBrokers(): Promise<readonly GroupInfo[]> {
    const found = new Map<string, GroupInfo>();
    let failure: unknown = null;
    await Promise.all(
      this.#brokers.map(async (address) => {
        try {
          const answer = await this.unaryAt<WireRaftStatus>(address, 'GetRaftStatus', {});
          const before = found.get(answer.group);
          if (before === undefined || answer.term > before.term) {
            found.set(answer.group, groupOf(answer, address));
          }
        } catch (error) {
          failure = error;
        }
      }),
    );
    if (found.size === 0 && failure !== null) throw callFailure(failure);
    return [...found.values()];
  }

  /** Does something at all broker groups; `absent` at some of them is no failure, at all of them it is. */
  async change(
    method: string,
    request: object,
    brokerGroup?: string,
    absent?: MqError['code'],
  ): Promise<void> {
    const groups = await this.selected(brokerGroup);
    const outcomes = await Promise.all(
      groups.map(async (group) => {
        try {
          checkResult(
            await this.unary<WireAdminResult>(
              leaderFirst(group),
              method,
              request,
              CHANGE_TIMEOUT_MS,
            ),
          );
          return null;
        } catch (error) {
          return callFailure(error);
        }
      }),
    );
    const failures = outcomes.filter((outcome) => outcome !== null);
    const grave = failures.find((failure) => failure.code !== absent);
    if (grave !== undefined) throw grave;
    if (failures.length > 0 && failures.length === outcomes.length) throw failures[0]!;
  }

  /** Asks all broker groups, or one; those that answer with the code `absent` are left out. */
  async askAll<T extends { readonly result: WireAdminResult | null }>(
    method: string,
    request: object,
    absent: MqError['code'],
    brokerGroup?: string,
    timeoutMs?: number,
  ): Promise<readonly { readonly group: string; readonly answer: T }[]> {
    const groups = await this.selected(brokerGroup);
    const answers = await Promise.all(
      groups.map(async (group) => {
        const answer = await this.unary<T>(leaderFirst(group), method, request, timeoutMs);
        const failure = resultError(answer.result);
        if (failure !== null && failure.code !== absent) throw failure;
        return { group: group.group, answer, failure };
      }),
    );
    return answers.filter((answer) => answer.failure === null);
  }

  /** All broker groups, or the one of that name. @throws MqError BAD_REQUEST when it is not known */
  async selected(brokerGroup: string | undefined): Promise<readonly GroupInfo[]> {
    const groups = await this.groups();
    if (brokerGroup === undefined || brokerGroup === '') return groups;
    const found = groups.filter((group) => group.group === brokerGroup);
    if (found.length > 0) return found;
    throw new MqError(
      'BAD_REQUEST',
      `there is no broker group "${brokerGroup}"; known are ${groups.map((group) => group.group).join(', ')}`,
    );
  }

  /** Tries the addresses in order until one answers. */
  async unary<T extends object>(
    addresses: readonly string[],
    method: string,
    request: object,
    timeoutMs?: number,
  ): Promise<T> {
    let failure: unknown = new MqError('HA_NOT_AVAILABLE', 'the broker group has no address');
    for (const address of this.#pool.preferred(addresses)) {
      try {
        return await this.unaryAt<T>(address, method, request, timeoutMs);
      } catch (error) {
        failure = error;
        if (!isTransportFailure(error)) break;
        this.#pool.isolate(address);
      }
    }
    throw callFailure(failure);
  }

  /** One attempt at one address. @throws RpcError as the call ended */
  unaryAt<T extends object>(
    address: string,
    method: string,
    request: object,
    timeoutMs = this.#options.requestTimeoutMs,
  ): Promise<T> {
    const nowMs = Date.now();
    const stub: RpcService = this.#pool.channel(address).service(ADMIN);
    return stub.unary<T>(method, request, {
      deadlineMs: nowMs + timeoutMs,
      headers: this.#headers.at(nowMs),
    });
  }
}

/** @throws MqError of a result that is not OK */
export function checkResult(result: WireAdminResult | null): void {
  const failure = resultError(result);
  if (failure !== null) throw failure;
}

/** A result as an error; null = OK. */
export function resultError(result: WireAdminResult | null): MqError | null {
  if (result === null || result.code === statusCode.OK) return null;
  return statusToError(result);
}
