import { errorText, type Logger, MqError } from '@raftmq/base';
import {
  decodeQueryRouteResponse,
  encodeQueryRouteRequest,
  type Endpoints,
  queuePermission,
  type RouteQueue,
} from '@raftmq/protocol';
import { addressesOf } from './endpoints.js';
import { type MessagingRpc, messagingPath } from './messaging-rpc.js';
import { clientLimits } from './options.js';
import { isOk, statusToError } from './status-error.js';

/** One broker as routes name it. */
export interface BrokerTarget {
  readonly name: string;
  readonly endpoints: Endpoints;
  /** `host:port`, in the server's order: the leader first, where the server knows leaders. */
  readonly addresses: readonly string[];
  /** Number of queues of the topic there. */
  readonly queues: number;
  /** A queue id there, for requests that must name one. */
  readonly queueId: number;
}

/** Where a topic lives. */
export interface Route {
  readonly topic: string;
  readonly queues: readonly RouteQueue[];
  /** Brokers with a queue that may be written to, in a stable order. */
  readonly writable: readonly BrokerTarget[];
  /** Brokers with a queue that may be read. */
  readonly readable: readonly BrokerTarget[];
  /** Numbers of MessageType that all queues take. */
  readonly acceptMessageTypes: readonly number[];
}

/**
 * Routes of the topics in use: asked at first use, again every 30 s, and at once when somebody has a reason to doubt.
 * Failures are not remembered; a route that cannot be refreshed stays as it was.
 */
export class RouteCache {
  readonly #rpc: MessagingRpc;
  readonly #endpoints: Endpoints;
  readonly #addresses: readonly string[];
  readonly #namespace: string;
  readonly #logger: Logger;
  readonly #routes = new Map<string, Route>();
  readonly #asking = new Map<string, Promise<Route>>();
  #timer: NodeJS.Timeout | null = null;
  /** Called with every route that is new or different. */
  onChange: (route: Route) => void = () => undefined;

  constructor(rpc: MessagingRpc, endpoints: Endpoints, namespace: string, logger: Logger) {
    this.#rpc = rpc;
    this.#endpoints = endpoints;
    this.#addresses = addressesOf(endpoints);
    this.#namespace = namespace;
    this.#logger = logger;
  }

  start(): void {
    this.#timer ??= setInterval(() => {
      for (const topic of this.#routes.keys()) this.refresh(topic);
    }, clientLimits.routeRefreshMs).unref();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** All routes known now. */
  known(): Iterable<Route> {
    return this.#routes.values();
  }

  /** The route if it is known, without asking. */
  peek(topic: string): Route | null {
    return this.#routes.get(topic) ?? null;
  }

  /**
   * The route, from memory or from a server.
   * @throws MqError TOPIC_NOT_FOUND, or what the call ended with
   */
  async get(topic: string): Promise<Route> {
    return this.#routes.get(topic) ?? (await this.#ask(topic));
  }

  /** Asks again now, in the background. */
  refresh(topic: string): void {
    this.#ask(topic).catch((error: unknown) => {
      this.#logger.warn({ topic, error: errorText(error) }, 'route not refreshed');
    });
  }

  #ask(topic: string): Promise<Route> {
    const asking = this.#asking.get(topic);
    if (asking !== undefined) return asking;
    if (this.#routes.size >= clientLimits.topicsMax && !this.#routes.has(topic)) {
      return Promise.reject(
        new MqError(
          'TOO_MANY_REQUESTS',
          `one client knows ${clientLimits.topicsMax} topics at most`,
        ),
      );
    }
    const answer = this.#query(topic).finally(() => this.#asking.delete(topic));
    this.#asking.set(topic, answer);
    return answer;
  }

  async #query(topic: string): Promise<Route> {
    const request = encodeQueryRouteRequest(
      { namespace: this.#namespace, name: topic },
      this.#endpoints,
    );
    const bytes = await this.#rpc.unary(this.#addresses, messagingPath.queryRoute, request);
    const answer = decodeQueryRouteResponse(bytes);
    if (!isOk(answer.status)) throw statusToError(answer.status);
    const route = compileRoute(topic, answer.queues);
    const before = this.#routes.get(topic);
    this.#routes.set(topic, route);
    if (before === undefined || JSON.stringify(before.queues) !== JSON.stringify(route.queues)) {
      this.onChange(route);
    }
    return route;
  }
}

/** Makes a route out of the queues of an answer; replicas that are no masters are left out. */
export function compileRoute(topic: string, queues: readonly RouteQueue[]): Route {
  const masters = queues.filter((queue) => queue.brokerId === 0);
  const { READ, WRITE, READ_WRITE } = queuePermission;
  return {
    topic,
    queues,
    writable: brokersOf(
      masters.filter(({ permission }) => permission === WRITE || permission === READ_WRITE),
    ),
    readable: brokersOf(
      masters.filter(({ permission }) => permission === READ || permission === READ_WRITE),
    ),
    acceptMessageTypes: masters[0]?.acceptMessageTypes ?? [],
  };
}

/** RaftMQ lists replicas known by host name as brokers of their own, `broker-a@1` beside `broker-a`: one target here. */
function brokersOf(queues: readonly RouteQueue[]): readonly BrokerTarget[] {
  const byName = new Map<string, RouteQueue[]>();
  for (const queue of queues) {
    const name = queue.brokerName.replace(/@\d+$/, '');
    const same = byName.get(name);
    if (same === undefined) byName.set(name, [queue]);
    else same.push(queue);
  }
  return [...byName.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, own]) => {
      const main = own.find((queue) => queue.brokerName === name) ?? own[0]!;
      return {
        name,
        endpoints: main.endpoints,
        addresses: [...new Set([main, ...own].flatMap(({ endpoints }) => addressesOf(endpoints)))],
        queues: own.filter(({ brokerName }) => brokerName === main.brokerName).length,
        queueId: main.queueId,
      };
    });
}
