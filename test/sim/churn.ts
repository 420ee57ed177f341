/**
 * E7: nobody deposes a leader that has had a connected majority without a fault for long. Keeps an
 * account of when something was last wrong with a node or with the way between two.
 */
import type { PeerId, Term } from '../../src/base/brands.ts';
import type { Hard, Message, Trigger } from '../../src/election/types.ts';
import type { SimNode } from './node.ts';
import { majorityOf } from './toy.ts';
import type { World } from './world.ts';

/** Time-outs without a fault after which a leader must be safe. */
const LONG = 3;

export class Churn {
  readonly #world: World;
  readonly #count: number;
  /** World time, by `a * count + b`. */
  readonly #pairs: Float64Array;
  /** World time until which something was wrong with a node itself. */
  readonly #nodes: Float64Array;
  readonly #electedAt: Float64Array;
  /** World time at which a node first stood in a term; NaN where the old leader asked for it. */
  readonly #stoodAt = new Map<number, number>();
  #lateAskAt = Number.NEGATIVE_INFINITY;

  constructor(world: World) {
    this.#world = world;
    this.#count = world.plan.peers.length;
    this.#pairs = new Float64Array(this.#count * this.#count);
    this.#nodes = new Float64Array(this.#count);
    this.#electedAt = new Float64Array(this.#count);
  }

  disturbNode(node: SimNode, forMs: number): void {
    const until = this.#world.now + forMs;
    this.#nodes[node.index] = Math.max(this.#nodes[node.index] as number, until);
  }

  disturbPair(a: number, b: number): void {
    this.#pairs[a * this.#count + b] = this.#world.now;
    this.#pairs[b * this.#count + a] = this.#world.now;
  }

  /** A promise of a vote that comes late may elect somebody whom nobody wants any more. */
  late(a: number, b: number, message: Message): void {
    this.disturbPair(a, b);
    const harmless = message.type === 'beat' || message.type === 'beat-reply';
    if (!harmless) this.#lateAskAt = this.#world.now;
  }

  elected(node: SimNode): void {
    this.#electedAt[node.index] = this.#world.now;
  }

  persisted(node: SimNode, { term, votedFor }: Hard): void {
    if (votedFor === node.id && !this.#stoodAt.has(term)) this.#stoodAt.set(term, this.#world.now);
  }

  /** The leader itself asked somebody to stand in `term`. */
  handedOver(term: Term): void {
    this.#stoodAt.set(term, Number.NaN);
  }

  /** @returns what is wrong with it, if anything is. */
  deposed(node: SimNode, term: Term, trigger: Trigger): string | undefined {
    const { plan, now } = this.#world;
    const { voters } = node.head.facts;
    if (plan.wild || trigger === 'manual' || trigger === 'transfer') return undefined;
    if (!voters.includes(node.id)) return undefined;
    const next = node.state?.hard.term ?? term;
    const at = next > term ? (this.#stoodAt.get(next) ?? Number.NaN) : now;
    // Who stood lawfully before there was this majority has the higher term for good.
    const held = at - Math.max(this.#unbrokenSince(node, voters), this.#lateAskAt);
    if (!(held > LONG * plan.timing.timeoutMs)) return undefined;
    return `${node.id} is deposed (${trigger}) with a majority for ${Math.round(held)} ms`;
  }

  /** Since when the leader and a majority have been up and connected without a fault. */
  #unbrokenSince(leader: SimNode, voters: readonly PeerId[]): number {
    const { nodes, net } = this.#world;
    const since: number[] = [];
    for (const voter of voters) {
      const other = nodes.get(voter);
      if (other === undefined || other === leader) continue;
      if (!other.runs || !net.connects(leader.index, other.index)) continue;
      const pair = this.#pairs[leader.index * this.#count + other.index] as number;
      since.push(Math.max(pair, this.#nodes[other.index] as number));
    }
    const need = majorityOf(voters.length) - 1;
    if (since.length < need) return Number.POSITIVE_INFINITY;
    since.sort((a, b) => a - b);
    const own = Math.max(
      this.#nodes[leader.index] as number,
      this.#electedAt[leader.index] as number,
    );
    return need === 0 ? own : Math.max(own, since[need - 1] as number);
  }
}
