/**
 * Election machines under a clock moved by hand and a post office that waits to be told: deliver
 * this letter, lose that one, keep the rest. Effects are carried out in order, as the shell does;
 * everything that a node may say is checked against its disk at that moment (E1, E2, E3, E8), in
 * every test.
 */
import { expect } from 'vitest';
import { type Millis, millis, type PeerId, type Term } from '../../src/base/brands.ts';
import { toHex } from '../../src/base/bytes.ts';
import { BzzzError, toBzzzError } from '../../src/base/errors.ts';
import { beginElection, stepElection, wakeAt } from '../../src/election/machine.ts';
import type {
  ElectionContext,
  ElectionEffect,
  ElectionInput,
  ElectionState,
  ElectionStep,
  Hard,
  Message,
  Timing,
} from '../../src/election/types.ts';
import type { Change } from '../../src/roster/entry.ts';
import { ancestor, type Link, Toy } from '../sim/toy.ts';
import { effectWord, messageWord, peers } from './story.ts';

export const TIMING: Timing = {
  heartbeatMs: millis(50),
  timeoutMs: millis(500),
  staggerMs: millis(100),
  retryMs: millis(20),
  minTermMs: millis(1_000),
};

/** The disk of a new host. */
export const NOTHING: Hard = { term: 0 as Term, votedFor: null, accepted: null };

/** A message on its way, or two nodes about to compare their rosters. */
interface Letter {
  readonly from: PeerId;
  readonly to: PeerId;
  /** null for an exchange. */
  readonly message: Message | null;
}

/** One node: what it holds in memory, what it has on the disk, and how it fails. */
export interface Host {
  readonly name: PeerId;
  /** undefined while the process does not run. */
  state: ElectionState | undefined;
  disk: Hard;
  chain: Link;
  /** The entries as this host has them, by epoch; hosts may hold other signatures. */
  readonly entries: Map<number, Uint8Array>;
  paused: boolean;
  /** Every effect since the beginning, for assertions. */
  readonly effects: ElectionEffect[];
  /** The process dies before the first effect of this type. */
  diesBefore: ElectionEffect['type'] | undefined;
  /** The disk refuses the next entries. */
  appendError: BzzzError | undefined;
  ranking: readonly PeerId[] | undefined;
  /** What this host is told otherwise than the truth. */
  override: Partial<ElectionContext>;
}

export interface ClusterOptions {
  /** One letter each, the founder first. */
  readonly voters: string;
  readonly others?: string;
  readonly timing?: Partial<Timing>;
}

/** Which letters: `'A>B vote'`, `'*>B'`, `'A>* beat'`; `exchange` is a type, too. */
export type Pick = string;

export class Cluster {
  now: Millis = millis(0);
  readonly toy: Toy;
  readonly mail: Letter[] = [];
  readonly hosts = new Map<string, Host>();
  readonly timing: Timing;
  /** What every node's jitter draws. */
  chance = 0;
  /** Also tell of beats that changed nothing. */
  tellBeats = false;
  readonly #cuts = new Set<string>();
  readonly #leaders = new Map<number, PeerId>();
  readonly #certified = new Map<number, string>();
  #lines: string[] = [];

  constructor({ voters, others = '', timing }: ClusterOptions) {
    const all = peers(voters + others);
    const founder = all[0]!;
    this.timing = { ...TIMING, ...timing };
    this.toy = new Toy(founder);
    let chain = this.toy.genesis;
    for (const peer of all.slice(1)) {
      chain = this.toy.grow(chain, { kind: 'admit', peer, role: 'persistent', noVoter: false });
    }
    for (const peer of peers(voters).slice(1))
      chain = this.toy.grow(chain, { kind: 'promote', peer });
    for (const peer of all) this.#add(peer, chain);
  }

  // -- what a test looks at

  host(name: string): Host {
    const host = this.hosts.get(name);
    if (host === undefined) throw new Error(`no host ${name}`);
    return host;
  }

  state(name: string): ElectionState {
    const { state } = this.host(name);
    if (state === undefined) throw new Error(`${name} does not run`);
    return state;
  }

  role = (name: string): string => this.state(name).role;

  /** Who believes in which leader: `A:A1 B:A1 C:-`. */
  leaders(): string {
    const running = [...this.hosts.values()].filter(({ state }) => state !== undefined);
    return running
      .map(
        ({ name, state }) => `${name}:${state?.leader?.leader ?? '-'}${state?.leader?.term ?? ''}`,
      )
      .join(' ');
  }

  epochs = (): string => [...this.hosts.values()].map((h) => `${h.name}${h.chain.epoch}`).join(' ');

  effectsOf<T extends ElectionEffect['type']>(
    name: string,
    type: T,
  ): readonly Extract<ElectionEffect, { type: T }>[] {
    const found = this.host(name).effects.filter((effect) => effect.type === type);
    return found as Extract<ElectionEffect, { type: T }>[];
  }

  /** The lines since the last time. */
  told(): readonly string[] {
    const lines = this.#lines;
    this.#lines = [];
    return lines;
  }

  context(name: string): ElectionContext {
    const { name: self, chain, ranking, override } = this.host(name);
    const roster = chain.facts;
    const seals = this.toy.sealsOf(self);
    const { now, timing } = this;
    const chance = () => this.chance;
    const told = { self, now, chance, timing, roster, seals };
    return { ...told, ranking: ranking ?? roster.voters, ...override };
  }

  // -- processes

  start(names: string = [...this.hosts.keys()].join('')): void {
    for (const name of names) {
      const host = this.host(name);
      host.diesBefore = undefined;
      this.#carryOut(host, beginElection(host.disk, this.context(name)));
    }
  }

  /** SIGKILL: what was in memory is gone, and so is what was on its way to it. */
  kill(name: string): void {
    this.host(name).state = undefined;
    this.#lose((letter) => letter.to === name);
  }

  /** The kernel closes a dead process' connections: the others see it at once. */
  close(name: string): void {
    for (const host of this.hosts.values()) {
      if (host.name !== name) this.link(host.name, name, false);
    }
  }

  /** A connection comes up: the two compare their rosters, then hear of each other. */
  connect(one: string, other: string): void {
    this.#exchange(one as PeerId, other as PeerId);
    for (const [at, peer] of [
      [one, other],
      [other, one],
    ] as [string, PeerId][]) {
      // Who is no member is sent away after the comparison.
      if (this.host(at).chain.facts.members.has(peer)) this.link(at, peer, true);
    }
  }

  link(at: string, peer: string, live: boolean): void {
    this.input(at, { type: 'link', peer: peer as PeerId, live });
  }

  /** SIGSTOP: letters to it wait. */
  pause(name: string): void {
    this.host(name).paused = true;
  }

  wake(name: string): void {
    this.host(name).paused = false;
  }

  /** No letter passes between the two groups, and nobody is told. */
  cut(one: string, other: string): void {
    for (const a of one) for (const b of other) this.#cuts.add(a + b).add(b + a);
  }

  heal(): void {
    this.#cuts.clear();
  }

  // -- steps

  input(name: string, input: ElectionInput): void {
    const host = this.host(name);
    if (host.state === undefined) return;
    const said = input.type === 'message' ? this.#arrival(input.from, name, input.message) : '';
    const step = stepElection(host.state, input, this.context(name));
    const words = step.effects.map((effect) => effectWord(this.toy, effect));
    const beat = input.type === 'message' && input.message.type.startsWith('beat');
    const dull = beat && !this.tellBeats && words.every((word) => word === undefined);
    if (said !== '' && !dull) this.#lines.push(said);
    this.#carryOut(host, step);
  }

  /** Asks `name` to change the roster; the answer is `done ID` or `refused ID`. */
  propose(name: string, id: string, change: Change): void {
    this.input(name, { type: 'propose', id, change, time: 1_000 });
  }

  tick = (name: string): void => this.input(name, { type: 'tick' });

  /** A message that nobody sent through the post, as it is. */
  say(from: string, to: string, message: Message): void {
    this.input(to, { type: 'message', from: from as PeerId, message });
  }

  /** What `name` wrote last and is still on its way; it is taken out of the post. */
  answer(name: string): Message {
    const at = this.mail.findLastIndex(({ from }) => from === name);
    const message = at < 0 ? undefined : this.mail.splice(at, 1)[0]?.message;
    if (message === undefined || message === null) throw new Error(`${name} wrote nothing`);
    return message;
  }

  /** Delivers the first letter that fits. */
  deliver(pick: Pick = '*>*'): void {
    this.#hand(this.#take(pick));
  }

  /** Delivers every letter that fits now, in order; none that these bring about. */
  deliverAll(pick: Pick): void {
    const all = this.mail.filter((letter) => fits(pick, letter));
    if (all.length === 0) throw new Error(`no letter ${pick} in ${this.#waiting()}`);
    for (const letter of all) {
      this.mail.splice(this.mail.indexOf(letter), 1);
      this.#hand(letter);
    }
  }

  /** Delivers the first letter that fits and keeps it, too. */
  duplicate(pick: Pick): void {
    const letter = this.#take(pick);
    this.mail.push(letter);
    this.#hand(letter);
  }

  /** Loses every letter that fits; there must be one. */
  drop(pick: Pick): void {
    const before = this.mail.length;
    this.#lose((letter) => fits(pick, letter));
    if (this.mail.length === before) throw new Error(`no letter ${pick} in ${this.#waiting()}`);
  }

  /** Delivers until nothing is on its way; letters to paused hosts wait. */
  settle(): void {
    for (let steps = 0; steps < 5_000; steps++) {
      const at = this.mail.findIndex(({ to }) => this.hosts.get(to)?.paused !== true);
      const [letter] = at < 0 ? [] : this.mail.splice(at, 1);
      if (letter === undefined) return;
      this.#hand(letter);
    }
    throw new Error(`letters without end: ${this.#waiting()}`);
  }

  /** Moves the clock; whoever is due ticks, and every letter arrives in no time. */
  run(ms: number): void {
    const end = this.now + ms;
    this.settle();
    for (let steps = 0; steps < 50_000; steps++) {
      const due = [...this.hosts.values()].filter((host) => dueAt(host) <= end);
      const next = due.sort((a, b) => dueAt(a) - dueAt(b))[0];
      if (next === undefined) {
        this.now = millis(end);
        return;
      }
      this.now = millis(Math.max(this.now, dueAt(next)));
      this.tick(next.name);
      this.settle();
    }
    throw new Error('ticks without end');
  }

  /** Moves the clock alone. */
  pass(ms: number): void {
    this.now = millis(this.now + ms);
  }

  /** Starts everybody and runs until `name`, then first in rank, leads; forgets what was told. */
  elect(name: string): void {
    for (const host of this.hosts.values()) {
      const voters = host.chain.facts.voters.filter((voter) => voter !== name);
      host.ranking = [name as PeerId, ...voters];
    }
    this.start();
    this.run(this.timing.timeoutMs + this.timing.heartbeatMs);
    for (const host of this.hosts.values()) host.ranking = undefined;
    if (this.role(name) !== 'leader') throw new Error(`${name} does not lead: ${this.leaders()}`);
    this.#lines = [];
  }

  // -- inside

  #add(name: PeerId, chain: Link): void {
    const dead = { state: undefined, diesBefore: undefined, appendError: undefined };
    const disk = { disk: NOTHING, chain, entries: new Map() };
    const here = { paused: false, effects: [], ranking: undefined, override: {} };
    this.hosts.set(name, { name, ...dead, ...disk, ...here });
  }

  #arrival = (from: string, to: string, message: Message): string =>
    `${from} -> ${to}: ${messageWord(this.toy, message)}`;

  #take(pick: Pick): Letter {
    const at = this.mail.findIndex((letter) => fits(pick, letter));
    const [letter] = at < 0 ? [] : this.mail.splice(at, 1);
    if (letter === undefined) throw new Error(`no letter ${pick} in ${this.#waiting()}`);
    return letter;
  }

  #waiting = (): string =>
    `[${this.mail.map((l) => `${l.from}>${l.to} ${l.message?.type ?? 'exchange'}`).join(', ')}]`;

  #lose(which: (letter: Letter) => boolean): void {
    for (const letter of this.mail.filter(which)) {
      this.mail.splice(this.mail.indexOf(letter), 1);
      const { from, to, message } = letter;
      const word = message === null ? 'exchange' : messageWord(this.toy, message);
      const dull = !this.tellBeats && message?.type.startsWith('beat') === true;
      if (!dull) this.#lines.push(`${from} -x ${to}: ${word}`);
    }
  }

  #hand(letter: Letter): void {
    const { from, to, message } = letter;
    if (this.hosts.get(to)?.state === undefined || this.#cuts.has(from + to)) return;
    if (message !== null) this.say(from, to, message);
    else this.#exchange(from, to);
  }

  /** Whoever has the shorter roster gets the rest of the other's. */
  #exchange(from: PeerId, to: PeerId): void {
    const [one, other] = [this.host(from), this.host(to)];
    if (one.state === undefined || one.chain.epoch === other.chain.epoch) return;
    const [short, long] = one.chain.epoch < other.chain.epoch ? [one, other] : [other, one];
    this.#lines.push(`${short.name} <- ${long.name}: roster @${long.chain.epoch}`);
    for (const [epoch, entry] of long.entries) {
      if (epoch > short.chain.epoch) short.entries.set(epoch, entry);
    }
    short.chain = long.chain;
    this.input(short.name, { type: 'roster' });
  }

  #carryOut(host: Host, { state, effects }: ElectionStep): void {
    const then: ElectionInput[] = [];
    host.state = state;
    for (const effect of effects) {
      if (effect.type === host.diesBefore) {
        this.#lines.push(`${host.name}: dies`);
        this.kill(host.name);
        return;
      }
      host.effects.push(effect);
      const word = effectWord(this.toy, effect);
      if (word !== undefined) this.#lines.push(`${host.name}: ${word}`);
      this.#check(host, effect);
      const next = this.#perform(host, effect);
      if (next !== undefined) then.push(next);
    }
    for (const input of then) this.input(host.name, input);
  }

  /** @returns what the effect brings back. */
  #perform(host: Host, effect: ElectionEffect): ElectionInput | undefined {
    const from = host.name;
    if (effect.type === 'persist') host.disk = effect.hard;
    else if (effect.type === 'send')
      this.mail.push({ from, to: effect.to, message: effect.message });
    else if (effect.type === 'exchange') this.mail.push({ from, to: effect.with, message: null });
    else if (effect.type === 'append') return this.#append(host, effect.entry);
    else if (effect.type === 'offer') {
      const { to, term } = effect;
      for (let epoch = Math.max(1, effect.epoch); epoch <= host.chain.epoch; epoch++) {
        const entry = host.entries.get(epoch) ?? ancestor(host.chain, epoch).bytes!;
        this.mail.push({ from, to, message: { type: 'entry', term, entry } });
      }
    }
    return undefined;
  }

  #append(host: Host, entry: Uint8Array): ElectionInput | undefined {
    try {
      if (host.appendError !== undefined) throw host.appendError;
      const chain = this.toy.extend(host.chain, entry);
      if (chain === host.chain) return undefined;
      host.chain = chain;
      host.entries.set(chain.epoch, entry);
    } catch (thrown) {
      if (!(thrown instanceof BzzzError)) throw thrown;
      return { type: 'append-failed', error: toBzzzError(thrown) };
    }
    const hash = toHex(host.chain.hash);
    const known = this.#certified.get(host.chain.epoch) ?? hash;
    expect(hash, `E8: two entries of epoch ${host.chain.epoch}`).toBe(known);
    this.#certified.set(host.chain.epoch, hash);
    return { type: 'roster' };
  }

  /** What the disk must have before this leaves. */
  #check(host: Host, effect: ElectionEffect): void {
    const { disk, name } = host;
    if (effect.type === 'persist') {
      const { term, votedFor } = effect.hard;
      expect(term, 'E2: a term that falls').toBeGreaterThanOrEqual(disk.term);
      const before = term === disk.term ? disk.votedFor : null;
      expect(votedFor, 'E3: another vote in one term').toBe(before ?? votedFor);
      this.#checkAccepted(disk, effect.hard);
    } else if (effect.type === 'elected') {
      expect(this.#leaders.get(effect.term) ?? name, 'E1: two leaders in one term').toBe(name);
      this.#leaders.set(effect.term, name);
    } else if (effect.type === 'offer') {
      expect(effect.term, 'E2: offered in a term that is not kept').toBeLessThanOrEqual(disk.term);
    } else if (effect.type === 'send') this.#checkMessage(host, effect.to, effect.message);
  }

  /** One body in a ballot; what was signed last is kept. */
  #checkAccepted({ accepted: before }: Hard, { accepted: after }: Hard): void {
    if (before === null) return;
    const epoch = after?.body.epoch ?? 0;
    expect(epoch, 'E8: an accepted entry is forgotten').toBeGreaterThanOrEqual(before.body.epoch);
    if (after === null || epoch > before.body.epoch) return;
    expect(after.ballot, 'E8: a ballot that falls').toBeGreaterThanOrEqual(before.ballot);
    if (after.ballot > before.ballot) return;
    expect(this.toy.hash(after.body), 'E8: two in one ballot').toEqual(this.toy.hash(before.body));
  }

  #checkMessage({ disk, name }: Host, to: PeerId, message: Message): void {
    expect(to, 'nobody writes to itself').not.toBe(name);
    const may = message.type === 'pre-vote-reply' && message.refusal === null;
    if (message.type === 'pre-vote') expect(message.term, 'E2').toBeGreaterThan(disk.term);
    else if (!may) expect(message.term, `E2: ${message.type}`).toBe(disk.term);
    if (message.type === 'vote') expect(disk.votedFor, 'E3: its own vote').toBe(name);
    if (message.type === 'vote-reply' && message.vote !== null) {
      expect(disk.votedFor, 'E3: a vote that is not kept').toBe(to);
      const { term, candidate, voter } = this.toy.openVote(message.vote);
      expect({ term, candidate, voter }).toEqual({ term: disk.term, candidate: to, voter: name });
    }
    if (message.type === 'propose-reply' && message.signature !== null) {
      const { hash, ballot } = this.toy.openSignature(message.signature);
      const kept = disk.accepted;
      expect(ballot, 'E8: signed under another ballot than kept').toBe(kept?.ballot);
      expect(hash, 'E8: signed what is not kept').toEqual(kept && this.toy.hash(kept.body));
    }
  }
}

const dueAt = ({ state, paused }: Host): number =>
  state === undefined || paused ? Number.POSITIVE_INFINITY : wakeAt(state);

function fits(pick: Pick, { from, to, message }: Letter): boolean {
  const [, a, b, type] = /^(.)>(.)(?: (\S+))?$/.exec(pick) ?? [];
  if (a === undefined) throw new Error(`no such pick: ${pick}`);
  const is = (want: string | undefined, have: string) => want === '*' || want === have;
  return is(a, from) && is(b, to) && is(type ?? '*', message?.type ?? 'exchange');
}
