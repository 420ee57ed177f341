/**
 * Streams between nodes. Messages are dropped, delayed, doubled and overtaken; directions are cut,
 * with or without either side noticing; what lay in a kernel's buffer may arrive when a cut heals.
 */
import type { PeerId } from '../../src/base/brands.ts';
import type { Message } from '../../src/election/types.ts';
import type { SimNode } from './node.ts';
import type { World } from './world.ts';

interface Held {
  readonly from: PeerId;
  readonly to: PeerId;
  readonly message: Message;
}

/** A message this late is a fault; below it, it is weather. */
const LATE_MS = 40;

export class Network {
  /** Added to the plan's, while a fault lasts. */
  loss = 0;
  /** The next hand-over lies in a buffer until a cut heals. */
  holdStand = false;
  readonly #world: World;
  readonly #count: number;
  /** By `from * count + to`: nothing passes. */
  readonly #cut: boolean[];
  /** By `a * count + b`, both ways: the stream is up. */
  readonly #open: boolean[];
  #held: Held[] = [];

  constructor(world: World, count: number) {
    this.#world = world;
    this.#count = count;
    this.#cut = new Array(count * count).fill(false);
    this.#open = new Array(count * count).fill(true);
  }

  isCut(from: number, to: number): boolean {
    return this.#cut[from * this.#count + to] === true;
  }

  /** Whether both directions work, as far as it is known. */
  connects(a: number, b: number): boolean {
    return !this.isCut(a, b) && !this.isCut(b, a) && this.#open[a * this.#count + b] === true;
  }

  /** Bytes on a stream; nothing where there is none. */
  send(from: PeerId, to: PeerId, message: Message): void {
    const { plan, rng, nodes, peaceful } = this.#world;
    const source = nodes.get(from);
    const target = nodes.get(to);
    if (source === undefined || target === undefined) return;
    const place = source.index * this.#count + target.index;
    if (this.#open[place] !== true) return;
    if (this.holdStand && message.type === 'stand') {
      this.holdStand = false;
      this.#held.push({ from, to, message });
      return;
    }
    if (this.#cut[place] === true) {
      if (rng.chance(plan.hold)) this.#held.push({ from, to, message });
      return;
    }
    if (!peaceful && rng.chance(plan.drop + this.loss)) {
      this.#world.checker.disturbPair(source.index, target.index);
      return;
    }
    this.#carry(source, target, message, this.#delay());
    if (!peaceful && rng.chance(plan.duplicate))
      this.#carry(source, target, message, this.#delay() * 3);
  }

  /** Cuts the directions for which `is` says so, and no other. */
  cut(is: (from: number, to: number) => boolean, noticed: boolean): void {
    const { rng, checker } = this.#world;
    for (let a = 0; a < this.#count; a++) {
      for (let b = 0; b < a; b++) {
        const there = is(a, b);
        const back = is(b, a);
        if (there || back || !this.connects(a, b)) checker.disturbPair(a, b);
        this.#cut[a * this.#count + b] = there;
        this.#cut[b * this.#count + a] = back;
        if (!there && !back) this.#join(a, b, rng.between(0, 60));
        else if (noticed) this.part(a, b, true);
      }
    }
  }

  /** Ends every cut; what was held arrives, late. */
  heal(): void {
    const { rng } = this.#world;
    for (let a = 0; a < this.#count; a++) {
      for (let b = 0; b < a; b++) {
        if (this.isCut(a, b) || this.isCut(b, a)) this.#world.checker.disturbPair(a, b);
        this.#cut[a * this.#count + b] = false;
        this.#cut[b * this.#count + a] = false;
        this.#join(a, b, rng.between(0, 60));
      }
    }
    this.release(2 * LATE_MS);
  }

  /** A stream takes the place of one that is dead, and one side never learned that it died. */
  replace(a: number, b: number): void {
    this.#setOpen(a, b, true);
  }

  /** What was held arrives within `ms`, cut or not: the cut came behind it on its way. */
  release(ms: number): void {
    const { rng } = this.#world;
    const held = this.#held;
    this.#held = [];
    for (const { from, to, message } of held) {
      const source = this.#world.nodes.get(from);
      const target = this.#world.nodes.get(to);
      if (source !== undefined && target !== undefined) {
        this.#carry(source, target, message, rng.between(0, ms));
      }
    }
  }

  /** The stream between two closes; both learn it soon when `noticed`, else when it is up again. */
  part(a: number, b: number, noticed: boolean): void {
    if (this.#open[a * this.#count + b] !== true) return;
    this.#setOpen(a, b, false);
    this.#world.checker.disturbPair(a, b);
    if (noticed) this.#tell(a, b, false, this.#world.rng.between(0, 20));
  }

  /** Streams of a node that came up, to all that are up. */
  joinAll(a: number): void {
    for (let b = 0; b < this.#count; b++) {
      if (b !== a && !this.isCut(a, b) && !this.isCut(b, a)) {
        const { plan, rng } = this.#world;
        this.#join(a, b, plan.quick ? rng.between(0, 1) : rng.between(0, 60));
      }
    }
  }

  #join(a: number, b: number, after: number): void {
    if (this.#open[a * this.#count + b] === true) return;
    this.#world.at(after, () => {
      const { list } = this.#world;
      const free = !this.isCut(a, b) && !this.isCut(b, a);
      if (!free || this.#open[a * this.#count + b] === true) return;
      if (list[a]?.up !== true || list[b]?.up !== true) return;
      this.#setOpen(a, b, true);
      this.#world.checker.disturbPair(a, b);
      this.#tell(a, b, false, 0);
      this.#tell(a, b, true, 0.1);
      this.#world.meet(a, b);
    });
  }

  #setOpen(a: number, b: number, open: boolean): void {
    this.#open[a * this.#count + b] = open;
    this.#open[b * this.#count + a] = open;
  }

  #tell(a: number, b: number, live: boolean, after: number): void {
    const { list } = this.#world;
    for (const [self, other] of [
      [list[a], list[b]],
      [list[b], list[a]],
    ]) {
      if (self === undefined || other === undefined) continue;
      this.#world.at(after, () => {
        // The end of a stream cannot be heard through a cut.
        const heard = live || !this.isCut(other.index, self.index);
        if (heard && self.head.facts.members.has(other.id))
          self.give({ type: 'link', peer: other.id, live });
      });
    }
  }

  #delay(): number {
    const { plan, rng, peaceful } = this.#world;
    if (!peaceful && rng.chance(plan.straggle)) return rng.between(0, plan.straggleMs);
    return 0.05 + Math.min(rng.exponential(plan.delay), LATE_MS / 2);
  }

  #carry(source: SimNode, target: SimNode, message: Message, delay: number): void {
    const world = this.#world;
    if (delay > LATE_MS) world.checker.disturbPair(source.index, target.index);
    world.at(delay, () => {
      if (delay > LATE_MS) world.checker.late(source.index, target.index, message);
      if (!target.up) return;
      if (!this.#admits(source, target) && world.plan.gated) return;
      target.give({ type: 'message', from: source.id, message });
    });
  }

  /** Strangers exchange rosters: one of the two may be told that it was removed. */
  #admits(source: SimNode, target: SimNode): boolean {
    const known = target.head.facts.members.has(source.id);
    if (known && source.head.facts.members.has(target.id)) return true;
    this.#world.meet(source.index, target.index);
    return false;
  }
}
