/**
 * One node: the shell around a machine, reduced to what decides about safety. One input at a time;
 * effects in order; writes take time, and the process may die between any two effects. After a
 * crash only the disk is left: what `persist` and `append` had finished.
 */
import type { Millis, PeerId, Term } from '../../src/base/brands.ts';
import { toBzzzError } from '../../src/base/errors.ts';
import { beginElection, stepElection, wakeAt } from '../../src/election/machine.ts';
import type {
  ElectionContext,
  ElectionEffect,
  ElectionInput,
  ElectionState,
  ElectionStep,
  Hard,
  Seals,
} from '../../src/election/types.ts';
import type { Moment } from './plan.ts';
import { ancestor, type Link } from './toy.ts';
import type { World } from './world.ts';

const TICK: ElectionInput = { type: 'tick' };
const ROSTER: ElectionInput = { type: 'roster' };

export class SimNode {
  readonly index: number;
  readonly id: PeerId;
  readonly seals: Seals;
  readonly #world: World;
  /** The order of all peers in which this node ranks voters. */
  readonly #order: readonly PeerId[];

  // -- the disk
  hard: Hard;
  head: Link;

  // -- the process
  up = false;
  paused = false;
  state: ElectionState | undefined;
  /** Local clock: `offset + rate * world time`. */
  rate: number;
  offset = 0;
  #view: Link;
  #ranked: { readonly link: Link; readonly voters: readonly PeerId[] } | undefined;
  #inbox: ElectionInput[] = [];
  #effects: readonly ElectionEffect[] = [];
  #next = 0;
  #running = false;
  /** A write is under way. */
  #busy = false;
  #tickDue = false;
  #timerAt = Number.POSITIVE_INFINITY;
  /** Counts processes: what an older one left on the agenda is void. */
  #life = 0;
  #timers = 0;
  readonly #exchanging = new Set<PeerId>();

  constructor(world: World, index: number, id: PeerId, head: Link, order: readonly PeerId[]) {
    this.#world = world;
    this.index = index;
    this.id = id;
    this.head = head;
    this.#view = head;
    this.#order = order;
    this.seals = world.toy.sealsOf(id);
    this.hard = { term: 0 as Term, votedFor: null, accepted: null };
    const { skew } = world.plan;
    this.rate = 1 + world.rng.between(-skew, skew);
  }

  get localNow(): Millis {
    return (this.offset + this.rate * this.#world.now) as Millis;
  }

  /** The roster that the machine sees. */
  get roster(): Link {
    return this.#world.plan.roster === 'live' ? this.head : this.#view;
  }

  get leads(): boolean {
    return this.up && this.state?.role === 'leader';
  }

  get runs(): boolean {
    return this.up && !this.paused;
  }

  // -- life

  start(): void {
    this.up = true;
    this.paused = false;
    this.offset = this.#world.rng.between(0, 10_000);
    this.#view = this.head;
    this.#world.checker.started(this);
    this.#world.say(this, 'starts');
    this.#take(beginElection(this.hard, this.#context()));
    this.#pump();
  }

  /** Everything but the disk is gone. */
  crash(): void {
    if (!this.up) return;
    this.#world.say(this, 'dies');
    this.up = false;
    this.paused = false;
    this.state = undefined;
    this.#life++;
    this.#inbox = [];
    this.#effects = [];
    this.#next = 0;
    this.#busy = false;
    this.#tickDue = false;
    this.#timerAt = Number.POSITIVE_INFINITY;
    this.#exchanging.clear();
    this.#world.died(this);
  }

  pause(): void {
    this.paused = true;
    this.#world.say(this, 'is stopped');
  }

  resume(): void {
    if (!this.up || !this.paused) return;
    this.paused = false;
    this.#world.say(this, 'goes on');
    this.#world.checker.disturbNode(this);
    this.#pump();
  }

  give(input: ElectionInput): void {
    if (!this.up) return;
    this.#inbox.push(input);
    this.#pump();
  }

  /** The chain grew by other means than an `append` of the machine. */
  adopt(head: Link): void {
    if (!this.up || head.epoch <= this.head.epoch) return;
    this.#grow(head);
    this.#world.say(this, `has epoch ${head.epoch} by exchange`);
    this.#announce();
    this.#pump();
  }

  // -- one input at a time

  #pump(): void {
    if (this.#running) return;
    this.#running = true;
    while (this.runs && !this.#busy) {
      if (this.#next < this.#effects.length) {
        this.#effect();
        continue;
      }
      if (this.#world.plan.roster === 'first' && this.#view !== this.head) {
        this.#handle(ROSTER);
        continue;
      }
      // Late timers fire before or after what waits.
      const tickFirst = this.#tickDue && (this.#inbox.length === 0 || this.#world.rng.chance(0.3));
      const input = tickFirst ? TICK : this.#inbox.shift();
      if (input === undefined) break;
      if (tickFirst) this.#tickDue = false;
      this.#handle(input);
    }
    this.#running = false;
    if (this.runs && !this.#busy) this.#arm();
  }

  #handle(input: ElectionInput): void {
    const before = this.state;
    if (before === undefined) return;
    if (input.type === 'roster') this.#view = this.head;
    this.#world.heard(this, input);
    const step = stepElection(before, input, this.#context());
    this.#world.checker.stepped(this, input, before, step);
    this.#take(step);
  }

  #take(step: ElectionStep): void {
    this.state = step.state;
    this.#effects = step.effects;
    this.#next = 0;
  }

  #context(): ElectionContext {
    const { plan, rng } = this.#world;
    const link = this.roster;
    if (this.#ranked?.link !== link) {
      const { voters } = link.facts;
      this.#ranked = { link, voters: this.#order.filter((peer) => voters.includes(peer)) };
    }
    return {
      self: this.id,
      now: this.localNow,
      chance: rng.next,
      timing: plan.timing,
      roster: link.facts,
      seals: this.seals,
      ranking: this.#ranked.voters,
    };
  }

  // -- effects

  #effect(): void {
    const effect = this.#effects[this.#next] as ElectionEffect;
    this.#next++;
    this.#world.saw(this, effect);
    switch (effect.type) {
      case 'persist':
        this.#write(
          'persist',
          () => {
            this.#world.checker.persisted(this, effect.hard);
            this.hard = effect.hard;
          },
          () => this.#dies('persisted'),
        );
        return;
      case 'append':
        this.#write(
          'append',
          () => this.#append(effect.entry),
          () => this.#dies('appended'),
        );
        return;
      case 'send':
        if (this.#dies(momentOf(effect))) return;
        this.#world.checker.sent(this, effect.to, effect.message);
        this.#world.net.send(this.id, effect.to, effect.message);
        this.#dies(momentOf(effect));
        return;
      case 'exchange':
        this.#exchange(effect.with);
        return;
      case 'offer':
        this.#offer(effect);
        return;
      case 'elected':
        this.#world.checker.elected(this, effect);
        this.#dies('elected');
        return;
      case 'deposed':
        this.#world.checker.deposed(this, effect.term, effect.trigger);
        return;
      case 'done':
        this.#world.checker.wishes.done(this, effect.id, effect.epoch);
        return;
      case 'refused':
        this.#world.checker.wishes.refused(this, effect.id, effect.error);
        return;
      case 'evidence':
        this.#world.checker.evidence(this, effect.voter);
        return;
      case 'leader':
      case 'ignored':
        return;
    }
  }

  /** A synced write: not there, or there and perhaps not noticed, when the process dies in it. */
  #write(before: Moment, write: () => void, after: () => void): void {
    if (this.#dies(before)) return;
    const { plan, rng, slowDisks } = this.#world;
    const slow = slowDisks.get(this.index) ?? 0;
    const takes = slow > 0 || rng.chance(plan.disk) ? rng.between(0, slow || plan.diskMs) : 0;
    if (takes === 0) {
      write();
      after();
      return;
    }
    const life = this.#life;
    this.#busy = true;
    this.#world.at(takes, () => {
      if (this.#life !== life) return;
      write();
      this.#busy = false;
      after();
      this.#pump();
    });
  }

  #append(entry: Uint8Array): void {
    try {
      const head = this.#world.toy.extend(this.head, entry);
      this.#grow(head);
      this.#announce();
    } catch (thrown) {
      this.#inbox.unshift({ type: 'append-failed', error: toBzzzError(thrown) });
    }
  }

  #announce(): void {
    if (this.#world.plan.roster !== 'first') this.#inbox.push(ROSTER);
  }

  #grow(head: Link): void {
    const before = this.head;
    if (head === before) return;
    this.#world.checker.appended(this, head);
    this.head = head;
    const gone = [...before.facts.members.keys()].some((peer) => !head.facts.members.has(peer));
    if (gone) this.#world.dismiss(this);
  }

  #exchange(peer: PeerId): void {
    if (this.#exchanging.has(peer)) return;
    this.#exchanging.add(peer);
    this.#world.exchange(this.id, peer, () => this.#exchanging.delete(peer));
  }

  #offer({ to, epoch, term }: Extract<ElectionEffect, { type: 'offer' }>): void {
    for (let i = Math.max(epoch, 1); i <= this.head.epoch; i++) {
      const entry = ancestor(this.head, i).bytes;
      if (entry !== null) this.#world.net.send(this.id, to, { type: 'entry', term, entry });
    }
  }

  #dies(moment: Moment | undefined): boolean {
    if (moment === undefined || !this.#world.strikes(moment)) return false;
    this.#world.say(this, `is struck: ${moment}`);
    this.crash();
    return true;
  }

  // -- the timer

  #arm(): void {
    if (this.state === undefined || this.#tickDue) return;
    const wake = (wakeAt(this.state) - this.offset) / this.rate;
    if (!Number.isFinite(wake)) return;
    const at = Math.max(wake + 0.001, this.#world.now + 0.01);
    if (at >= this.#timerAt) return;
    this.#timerAt = at;
    const { plan, rng, peaceful } = this.#world;
    const late = !peaceful && rng.chance(plan.lateTimer) ? rng.between(0, 400) : 0;
    if (late > 50) this.#world.checker.disturbNode(this, at + late - this.#world.now);
    const life = this.#life;
    const timer = ++this.#timers;
    this.#world.at(at + late - this.#world.now, () => {
      if (this.#life !== life || this.#timers !== timer) return;
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.#ring();
    });
  }

  /** No timer is late any more. */
  rearm(): void {
    this.#timerAt = Number.POSITIVE_INFINITY;
    if (this.runs && !this.#busy) this.#arm();
  }

  #ring(): void {
    if (this.state === undefined) return;
    // The machine may have put its waking off meanwhile.
    if (wakeAt(this.state) > this.localNow && !this.#busy) {
      this.#arm();
      return;
    }
    this.#tickDue = true;
    this.#pump();
  }
}

function momentOf({ message }: Extract<ElectionEffect, { type: 'send' }>): Moment | undefined {
  switch (message.type) {
    case 'vote-reply':
      return message.refusal === null ? 'granted' : undefined;
    case 'vote':
      return 'asked';
    case 'propose':
      return 'proposed';
    case 'propose-reply':
      return message.signature === null ? undefined : 'signed';
    case 'beat':
      return 'beat';
    default:
      return undefined;
  }
}
