import { type Prng } from '@raftmq/base';
import { type World } from '../world.js';
import { type BrokerScenario } from './broker-scenario.js';
import {
  type BrokerNode,
  type CallOutcome,
  type ClientCall,
  type ClientNetwork,
} from './client-network.js';
import { type BrokerWatch } from '../../model/broker-watch.js';

/** What every simulated client works with. */
export interface ClientTools {
  readonly world: World;
  readonly random: Prng;
  readonly scenario: BrokerScenario;
  readonly network: ClientNetwork;
  readonly watch: BrokerWatch;
  readonly nodes: readonly BrokerNode[];
}

/** Sleeps in virtual time, finds a node to talk to, and ends when told to. */
export abstract class SimClient {
  readonly name: string;
  protected readonly tools: ClientTools;
  protected readonly random: Prng;
  /** Its loop is over. */
  ended = false;
  protected stopping = false;

  constructor(name: string, tools: ClientTools) {
    this.name = name;
    this.tools = tools;
    this.random = tools.random.fork(name);
  }

  start(): void {
    this.run().then(
      () => (this.ended = true),
      (error: unknown) => this.tools.world.report('no-crash', `${this.name}: ${String(error)}`),
    );
  }

  /** Lets the loop end after what it is doing. */
  stop(): void {
    this.stopping = true;
  }

  protected abstract run(): Promise<void>;

  protected sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.tools.world.schedule(ms, null, this.name, resolve);
    });
  }

  protected pause(meanMs: number): Promise<void> {
    return this.sleep(-meanMs * Math.log(1 - this.random.next()));
  }

  /** To the leader as a rule, as forwarding would do; to anyone now and then, and while nobody leads. */
  protected call<T>(call: ClientCall<T>): Promise<CallOutcome<T>> {
    const { nodes, network } = this.tools;
    const leader = nodes.find((node) => node.serving && node.role.role === 'leader');
    const node = leader !== undefined && this.random.chance(0.9) ? leader : this.random.pick(nodes);
    return network.call(node, call);
  }

  /** Tries until it is done; for what has to be there before anything else. */
  protected async insist<T>(call: ClientCall<T>): Promise<T | null> {
    while (!this.stopping) {
      const outcome = await this.call(call);
      if (outcome.kind === 'ok') return outcome.value;
      await this.pause(this.tools.scenario.unitMs);
    }
    return null;
  }
}
