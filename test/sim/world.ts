/** One cluster under one seed: time, nodes, what they share, and what is written down about it. */
import type { PeerId } from '../../src/base/brands.ts';
import type { ElectionEffect, ElectionInput, Message } from '../../src/election/types.ts';
import type { Change } from '../../src/roster/entry.ts';
import { Agenda } from './agenda.ts';
import { Checker } from './checker.ts';
import { Network } from './network.ts';
import { SimNode } from './node.ts';
import { type Moment, type Plan, planOf } from './plan.ts';
import { createRng, type Rng } from './random.ts';
import { changeText, type Link, Toy } from './toy.ts';

export interface WorldOptions {
  /** Writes down what happens; slow. */
  readonly trace: boolean;
  /** Judges by what others can see alone, not by what a node does inside; see checker.ts. */
  readonly outcomes: boolean;
}

const MAX_CRASHES = 30;
/** A run that has more events than this does not end by itself. */
const MAX_EVENTS = 60_000;

export class World {
  readonly rng: Rng;
  readonly plan: Plan;
  readonly toy: Toy;
  readonly net: Network;
  readonly checker: Checker;
  readonly nodes = new Map<PeerId, SimNode>();
  readonly list: SimNode[] = [];
  readonly lines: string[] = [];
  /** By index of the node: how slow its disk is now. */
  readonly slowDisks = new Map<number, number>();
  readonly #options: WorldOptions;
  readonly #buried = new Set<SimNode>();
  readonly #meeting = new Set<number>();
  readonly #agenda = new Agenda<() => void>();
  now = 0;
  events = 0;
  /** Faults are over: nothing dies, nothing is lost or late; who is dead stays dead. */
  peaceful = false;
  #crashes = 0;
  #nonce = 0;

  constructor(seed: number, options: WorldOptions) {
    this.#options = options;
    this.rng = createRng(seed);
    this.plan = planOf(this.rng);
    this.toy = new Toy(this.plan.peers[0] as PeerId);
    this.checker = new Checker(this, options.outcomes);
    this.net = new Network(this, this.plan.peers.length);
    const heads = this.#firstHeads();
    const order = this.rng.shuffled(this.plan.peers);
    for (const [index, id] of this.plan.peers.entries()) {
      const own = this.plan.disagree ? this.rng.shuffled(order) : order;
      const node = new SimNode(this, index, id, heads[index] as Link, own);
      this.nodes.set(id, node);
      this.list.push(node);
    }
    for (const node of this.list) this.at(this.rng.between(0, 200), () => node.start());
  }

  /** Calls `what` after `ms` of world time. */
  at(ms: number, what: () => void): void {
    this.#agenda.add(this.now + ms, what);
  }

  /** Lets `ms` pass, or less if `done` says so; it is asked after every event. */
  run(ms: number, done: () => boolean = () => false): boolean {
    const until = this.now + ms;
    while (this.#agenda.nextAt <= until) {
      this.now = this.#agenda.nextAt;
      this.events++;
      this.#agenda.take()?.();
      if (done()) return true;
      if (this.events > MAX_EVENTS) this.checker.fail('LOOP', 'the cluster does not come to rest');
    }
    this.now = until;
    return done();
  }

  /** A number that was never given before: makes bodies differ. */
  unique(): number {
    return ++this.#nonce;
  }

  /** Whether the process dies now. */
  strikes(moment: Moment): boolean {
    if (this.peaceful || this.#crashes >= MAX_CRASHES) return false;
    return this.rng.chance(this.plan.hazards[moment] ?? 0);
  }

  /** Streams of a dead process close, or hang until it is back; it comes back by itself. */
  died(node: SimNode): void {
    this.#crashes++;
    this.checker.died(node);
    const noticed = this.rng.chance(this.plan.notice);
    for (let other = 0; other < this.list.length; other++) {
      if (other !== node.index) this.net.part(node.index, other, noticed);
    }
    if (this.peaceful) return;
    const { timing, quick } = this.plan;
    const soon = this.rng.between(0.5, quick ? 5 : timing.timeoutMs / 4);
    const long = this.rng.exponential(2 * timing.timeoutMs);
    this.at(quick || this.rng.chance(0.5) ? soon : long, () => this.revive(node));
  }

  revive(node: SimNode): void {
    if (node.up || this.#buried.has(node)) return;
    this.checker.disturbNode(node);
    node.start();
    this.net.joinAll(node.index);
  }

  /** Ends every fault; what a slow exchange would bring is asked for once more. */
  calm(): void {
    this.peaceful = true;
    this.net.loss = 0;
    this.slowDisks.clear();
    this.#meeting.clear();
  }

  /** It dies now and never comes back. */
  bury(node: SimNode): void {
    this.#buried.add(node);
    node.crash();
  }

  /** The roster exchange: the shorter of two chains grows to the longer one. */
  exchange(from: PeerId, to: PeerId, done: () => void): void {
    const a = this.nodes.get(from);
    const b = this.nodes.get(to);
    const { rng, plan } = this;
    const way = 1 + rng.exponential(this.peaceful ? plan.delay : plan.exchangeMs);
    this.at(way, () => {
      const possible = a?.runs && b?.runs && this.net.connects(a.index, b.index);
      if (!possible || (!this.peaceful && rng.chance(plan.drop))) return this.at(50, done);
      const [mine, theirs] = [a.head, b.head];
      this.checker.compare(mine, theirs);
      if (mine.epoch > theirs.epoch) b.adopt(mine);
      this.at(way, () => {
        if (theirs.epoch > a.head.epoch) a.adopt(theirs);
        done();
      });
    });
  }

  /** Whoever is no member any more is disconnected; when it dials again, it learns why. */
  dismiss(node: SimNode): void {
    this.at(this.rng.between(10, 300), () => {
      const { members } = node.head.facts;
      for (const other of this.list) {
        if (!node.runs || members.has(other.id) || !this.net.connects(node.index, other.index)) {
          continue;
        }
        this.net.part(node.index, other.index, true);
        this.net.joinAll(node.index);
      }
    });
  }

  /** Two that have just got a stream between them exchange their rosters before anything else. */
  meet(a: number, b: number): void {
    const [x, y] = [this.list[a], this.list[b]];
    const pair = a * this.list.length + b;
    if (x === undefined || y === undefined || this.#meeting.has(pair)) return;
    this.#meeting.add(pair);
    this.exchange(x.id, y.id, () => this.#meeting.delete(pair));
  }

  // -- the trace

  say(node: SimNode | undefined, text: string): void {
    if (!this.#options.trace) return;
    this.lines.push(`${this.now.toFixed(1).padStart(9)} ${(node?.id ?? '').padEnd(3)} ${text}`);
  }

  heard(node: SimNode, input: ElectionInput): void {
    if (!this.#options.trace) return;
    if (input.type === 'message') {
      this.say(node, `<- ${input.from.padEnd(3)} ${messageText(this.toy, input.message)}`);
    } else if (input.type === 'propose') {
      this.say(node, `<- wish ${input.id}: ${changeText(input.change)}`);
    } else if (input.type === 'link') {
      this.say(node, `   link to ${input.peer} ${input.live ? 'up' : 'down'}`);
    } else if (input.type !== 'tick') {
      this.say(node, `   ${input.type}`);
    }
  }

  saw(node: SimNode, effect: ElectionEffect): void {
    if (this.#options.trace) this.say(node, effectText(this.toy, effect));
  }

  /** Everybody has the whole roster of the beginning, but for a minority that missed its end. */
  #firstHeads(): Link[] {
    const { plan, rng, toy } = this;
    const all = [toy.genesis];
    const push = (change: Change): void => {
      all.push(toy.grow(all.at(-1) as Link, change));
    };
    for (const [i, peer] of plan.peers.slice(0, plan.voters + plan.members).entries()) {
      if (i > 0) push({ kind: 'admit', peer, role: 'persistent', noVoter: false });
      if (i > 0 && i < plan.voters) push({ kind: 'promote', peer });
    }
    const last = all.at(-1) as Link;
    const lagging = rng.chance(0.2) ? rng.below((plan.voters + 1) >> 1) : 0;
    return plan.peers.map((_, i) => {
      const member = i < plan.voters + plan.members;
      const behind = i >= plan.voters - lagging && i < plan.voters;
      if (behind) return rng.pick(all.slice(-3));
      return member ? last : rng.pick([toy.genesis, last]);
    });
  }
}

function messageText(toy: Toy, message: Message): string {
  const { type, term } = message;
  const parts: string[] = [type, `term ${term}`];
  if ('epoch' in message) parts.push(`epoch ${message.epoch}`);
  if ('round' in message) parts.push(`round ${message.round}`);
  if ('refusal' in message) parts.push(message.refusal === null ? 'GRANTED' : message.refusal);
  if ('transfer' in message && message.transfer) parts.push('transfer');
  if (type === 'propose')
    parts.push(`epoch ${message.body.epoch}`, changeText(message.body.change));
  if (type === 'propose-reply') parts.push(message.signature === null ? 'not signed' : 'signed');
  if (type === 'vote-reply' && message.accepted !== null) {
    const { ballot, body } = message.accepted;
    parts.push(`accepted ${body.epoch} ${changeText(body.change)} under ${ballot}`);
  }
  if (type === 'entry') {
    const { body, ballot } = toy.openEntry(message.entry);
    parts.push(`epoch ${body.epoch} ${changeText(body.change)} under ${ballot}`);
  }
  return parts.join(' ');
}

function effectText(toy: Toy, effect: ElectionEffect): string {
  switch (effect.type) {
    case 'send':
      return `-> ${effect.to.padEnd(3)} ${messageText(toy, effect.message)}`;
    case 'persist': {
      const { term, votedFor, accepted } = effect.hard;
      const what = accepted && `${accepted.body.epoch} ${changeText(accepted.body.change)}`;
      const signed = accepted && `, signed ${what} under ${accepted.ballot}`;
      return `   disk: term ${term} for ${votedFor ?? 'nobody'}${signed ?? ''}`;
    }
    case 'append': {
      const { body, signers } = toy.openEntry(effect.entry);
      return `   append ${body.epoch} ${changeText(body.change)} by ${signers.join('+')}`;
    }
    case 'exchange':
      return `   exchange with ${effect.with}`;
    case 'offer':
      return `-> ${effect.to.padEnd(3)} offer from epoch ${effect.epoch}`;
    case 'done':
      return `   DONE ${effect.id} in epoch ${effect.epoch}`;
    case 'refused':
      return `   refused ${effect.id}: ${effect.error.code} ${effect.error.message}`;
    case 'leader':
      return `   leader is ${effect.leadership?.leader ?? 'nobody'} (${effect.trigger})`;
    case 'elected':
      return `   ELECTED term ${effect.term} epoch ${effect.epoch} (${effect.trigger})`;
    case 'deposed':
      return `   DEPOSED term ${effect.term} (${effect.trigger})`;
    case 'evidence':
      return `   EVIDENCE against ${effect.voter}`;
    case 'ignored':
      return `   ignored ${effect.what} of ${effect.from}: ${effect.reason}`;
  }
}
