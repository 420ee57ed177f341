/**
 * What must hold, checked after every step, by names of the project's invariants. The checker
 * keeps its own account of what left each node and what its disk had, and asks no machine.
 *
 * Some checks look at what a node does inside (marked `inside`): a vote that leaves before it is on
 * the disk is a fault, even if the disk survives this time. With `outcomes` they are off, and only
 * what harms the cluster counts: two leaders in a term, two votes of one voter, a fork, a deposed
 * leader. The tests of the simulator itself run both ways.
 */
import type { Epoch, Millis, PeerId, Term } from '../../src/base/brands.ts';
import { equalBytes } from '../../src/base/bytes.ts';
import { wakeAt } from '../../src/election/machine.ts';
import type {
  Accepted,
  ElectionEffect,
  ElectionInput,
  ElectionState,
  ElectionStep,
  Hard,
  Message,
  Trigger,
} from '../../src/election/types.ts';
import type { EntryBody } from '../../src/roster/entry.ts';
import { Churn } from './churn.ts';
import type { SimNode } from './node.ts';
import { ancestor, indexOf, type Link, majorityOf } from './toy.ts';
import { type Invariant, Violation } from './violation.ts';
import { Wishes } from './wishes.ts';
import type { World } from './world.ts';

export interface Stats {
  elections: number;
  certified: number;
  fenced: number;
  crashes: number;
}

/** What the checker knows of one node. */
interface Account {
  /** Votes that left it, by term. */
  readonly votes: Map<number, PeerId>;
  /** Signatures that left it: hash by `epoch ballot`. */
  readonly signed: Map<string, number>;
  /** The leader that it hears, by its own account of messages and closed streams. */
  led: { readonly term: Term; readonly at: Millis } | null;
  /** As leader: its clock when each member last answered. */
  readonly answers: Map<PeerId, Millis>;
  /** Its clock at its election, and at the last change of its roster since. */
  ledSince: Millis;
  /** Highest term that left it; survives everything. */
  spoken: number;
  /** Clock after its last sleep or late timer. */
  wokeAt: Millis;
}

export class Checker {
  readonly stats: Stats = { elections: 0, certified: 0, fenced: 0, crashes: 0 };
  readonly #world: World;
  readonly #outcomes: boolean;
  readonly #accounts: Account[] = [];
  readonly #leaders = new Map<number, PeerId>();
  readonly #roles = new Map<number, PeerId>();
  /** By epoch, the hash that is or could be certified. */
  readonly #chosen = new Map<number, number>();
  readonly #acceptors = new Map<string, Set<PeerId>>();
  readonly #links = new Map<number, Link>();
  readonly #churn: Churn;
  readonly wishes: Wishes;
  /** Set when the cluster must stay as it is. */
  quiet = false;

  constructor(world: World, outcomes: boolean) {
    this.#world = world;
    this.#outcomes = outcomes;
    const count = world.plan.peers.length;
    this.#churn = new Churn(world);
    this.wishes = new Wishes((invariant, message) => this.fail(invariant, message));
    for (let i = 0; i < count; i++) this.#accounts.push(newAccount());
    this.#links.set(indexOf(world.toy.genesis.hash), world.toy.genesis);
  }

  fail(invariant: Invariant, message: string): never {
    throw new Violation(invariant, `${message} (at ${this.#world.now.toFixed(1)} ms)`);
  }

  #inside(invariant: Invariant, holds: boolean, message: () => string): void {
    if (!holds && !this.#outcomes) this.fail(invariant, message());
  }

  #account(node: SimNode): Account {
    return this.#accounts[node.index] as Account;
  }

  // -- disk

  started(node: SimNode): void {
    const account = this.#account(node);
    // A restarted voter counts as having just heard a leader.
    account.led = { term: node.hard.term, at: node.localNow };
    account.answers.clear();
    account.wokeAt = node.localNow;
    this.#knowLink(node.head);
  }

  died(node: SimNode): void {
    this.stats.crashes++;
    this.disturbNode(node);
    this.wishes.died(node);
  }

  persisted(node: SimNode, after: Hard): void {
    const before = node.hard;
    if (after.term < before.term) {
      this.fail('E2', `${node.id} goes from term ${before.term} back to ${after.term}`);
    }
    if (after.term === before.term && before.votedFor !== null) {
      const same = after.votedFor === before.votedFor;
      this.#inside('E3', same, () => `${node.id} forgets its vote in term ${after.term}`);
    }
    if (after.accepted !== null) this.#accepts(node.id, after.accepted);
    this.#churn.persisted(node, after);
  }

  appended(node: SimNode, head: Link): void {
    const before = node.head;
    if (!equalBytes(ancestor(head, before.epoch).hash, before.hash)) {
      this.fail('E8', `${node.id} replaces its epoch ${before.epoch}`);
    }
    for (let link: Link | null = head; link !== null && link.epoch > before.epoch; ) {
      this.#choose(link.epoch, indexOf(link.hash), 'certified');
      this.#knowLink(link);
      link = link.parent;
    }
    const account = this.#account(node);
    account.ledSince = node.localNow;
    for (const voter of head.facts.voters) {
      const fresh = !before.facts.voters.includes(voter);
      const other = this.#world.nodes.get(voter);
      if (fresh && other !== undefined) this.disturbNode(other);
    }
  }

  /** Two chains that meet. */
  compare(a: Link, b: Link): void {
    const epoch = Math.min(a.epoch, b.epoch);
    if (!equalBytes(ancestor(a, epoch).hash, ancestor(b, epoch).hash)) {
      this.fail('E8', `two chains differ at or before epoch ${epoch}`);
    }
  }

  #knowLink(head: Link): void {
    for (let link: Link | null = head; link !== null; link = link.parent) {
      const index = indexOf(link.hash);
      if (this.#links.has(index)) return;
      this.#links.set(index, link);
    }
  }

  // -- what leaves a node

  sent(node: SimNode, to: PeerId, message: Message): void {
    const { term } = message;
    const { hard } = node;
    const account = this.#account(node);
    const asked = message.type === 'pre-vote' || message.type === 'pre-vote-reply';
    if (!asked) {
      this.#inside('E2', term <= hard.term, () => {
        return `${node.id} sends ${message.type} of term ${term}, its disk has ${hard.term}`;
      });
      if (acts(message) && term < account.spoken) {
        this.fail('E2', `${node.id} sends ${message.type} of ${term} after ${account.spoken}`);
      }
      if (term > account.spoken) account.spoken = term;
    }
    switch (message.type) {
      case 'vote':
        this.#votes(node, term, node.id);
        return;
      case 'vote-reply':
        if (message.vote !== null) this.#grants(node, to, message);
        return;
      case 'pre-vote-reply':
        if (message.refusal === null) this.#preGrants(node);
        return;
      case 'propose-reply':
        if (message.signature !== null) this.#signs(node, message.signature);
        return;
      case 'pre-vote':
        if (this.quiet) this.fail('E7', `${node.id} stands though nothing happened`);
        return;
      default:
        return;
    }
  }

  #grants(node: SimNode, to: PeerId, reply: Extract<Message, { type: 'vote-reply' }>): void {
    const vote = this.#world.toy.openVote(reply.vote as Uint8Array);
    this.#votes(node, vote.term, vote.candidate);
    this.#inside('E3', vote.candidate === to && vote.voter === node.id, () => {
      return `${node.id} sends ${to} the vote of ${vote.voter} for ${vote.candidate}`;
    });
  }

  #votes(node: SimNode, term: Term, candidate: PeerId): void {
    const { votes } = this.#account(node);
    const known = votes.get(term);
    if (known !== undefined && known !== candidate) {
      this.fail('E3', `${node.id} votes for ${known} and ${candidate} in term ${term}`);
    }
    votes.set(term, candidate);
    const { hard } = node;
    this.#inside('E3', hard.term >= term, () => `a vote in ${term} leaves before it is durable`);
    if (hard.term !== term) return;
    this.#inside('E3', hard.votedFor === candidate, () => {
      return `${node.id} votes for ${candidate} in ${term}, its disk has ${hard.votedFor}`;
    });
  }

  #preGrants(node: SimNode): void {
    const { led } = this.#account(node);
    const { timeoutMs } = this.#world.plan.timing;
    this.#inside('E4', node.state?.role !== 'leader', () => `${node.id} leads and pre-votes`);
    const alive = led !== null && node.localNow - led.at < timeoutMs - 1;
    this.#inside('E4', !alive, () => `${node.id} grants a pre-vote and has its leader`);
  }

  #signs(node: SimNode, signature: Uint8Array): void {
    const { hash, ballot, signer } = this.#world.toy.openSignature(signature);
    const body = this.#world.toy.bodyOf(hash);
    const { accepted } = node.hard;
    this.#inside('E8', accepted !== null && accepted.ballot >= ballot, () => {
      return `${node.id} signs epoch ${body.epoch} under ${ballot} before it is durable`;
    });
    this.#accepts(signer, { ballot, body });
  }

  /** A voter signed, or its disk says that it did: what a majority signed may be certified. */
  #accepts(signer: PeerId, { ballot, body }: Accepted): void {
    const hash = indexOf(this.#world.toy.hash(body));
    const node = this.#world.nodes.get(signer);
    if (node !== undefined) {
      const { signed } = this.#account(node);
      const place = `${body.epoch} ${ballot}`;
      const known = signed.get(place);
      if (known === hash) return;
      if (known !== undefined) {
        this.fail('E8', `${signer} signs two entries of epoch ${body.epoch} under ${ballot}`);
      }
      signed.set(place, hash);
    }
    const key = `${hash} ${ballot}`;
    const signers = this.#acceptors.get(key) ?? new Set();
    this.#acceptors.set(key, signers.add(signer));
    const voters = this.#votersFor(body);
    if (voters === undefined) return;
    const counted = voters.filter((voter) => signers.has(voter)).length;
    if (counted >= majorityOf(voters.length)) this.#choose(body.epoch, hash, 'signed');
  }

  #votersFor(body: EntryBody): readonly PeerId[] | undefined {
    return this.#links.get(indexOf(body.prev))?.facts.voters;
  }

  #choose(epoch: Epoch, hash: number, how: string): void {
    const known = this.#chosen.get(epoch);
    if (known === hash) return;
    if (known !== undefined) {
      this.fail('E8', `a second entry of epoch ${epoch} is ${how} by a majority`);
    }
    this.#chosen.set(epoch, hash);
    this.stats.certified++;
  }

  // -- steps

  stepped(node: SimNode, input: ElectionInput, before: ElectionState, step: ElectionStep): void {
    const { state } = step;
    const account = this.#account(node);
    if (state.role === 'leader') this.#holdsRole(node, state.hard.term);
    if (input.type === 'message') this.#afterMessage(node, account, input, before, step);
    else if (input.type === 'link' && !input.live && before.leader?.leader === input.peer) {
      account.led = null;
    } else if (input.type === 'campaign' || input.type === 'roster') {
      if (input.type === 'roster') account.ledSince = node.localNow;
      // An operator's word, or the leader's vote that is gone, counts as a lost leader.
      if (state.lost !== null) account.led = null;
    }
    if (account.led !== null && state.hard.term > account.led.term) account.led = null;
    if (before.role === 'leader' && state.role !== 'leader') {
      account.led = null;
      // Its duties would go on beside those of the next leader.
      const told = step.effects.some((effect) => effect.type === 'deposed');
      if (!told) this.fail('E7', `${node.id} leads no more and does not say so`);
    }
    if (before.role === 'leader' && state.role === 'leader') this.#leads(node, account, state);
  }

  #afterMessage(
    node: SimNode,
    account: Account,
    input: Extract<ElectionInput, { type: 'message' }>,
    before: ElectionState,
    step: ElectionStep,
  ): void {
    const { message, from } = input;
    if (message.term < before.hard.term) this.#refusesStale(node, from, message, before, step);
    else if (message.type === 'beat' || message.type === 'propose') {
      // Whether an act counts is seen by whether it is answered.
      const counts = step.effects.some((effect) => answersAct(effect, from));
      if (counts) account.led = { term: message.term, at: node.localNow };
    } else if (message.type === 'beat-reply') {
      account.answers.set(from, node.localNow);
    } else if (message.type === 'stand' && step.state.hard.term > before.hard.term) {
      account.led = null;
      this.#churn.handedOver(step.state.hard.term);
    } else if (message.type === 'vote' || message.type === 'pre-vote') {
      this.#prefersNewer(node, from, message, step);
    }
  }

  /** A vote, or the promise of one, goes to nobody with an older roster than the voter's. */
  #prefersNewer(
    node: SimNode,
    from: PeerId,
    { rosterTerm, epoch }: Extract<Message, { type: 'vote' | 'pre-vote' }>,
    { effects }: ElectionStep,
  ): void {
    const own = node.roster.facts;
    const older = rosterTerm < own.term || (rosterTerm === own.term && epoch < own.epoch);
    if (!older) return;
    this.#inside('E8', !effects.some(grantsAnything), () => {
      return `${node.id} with epoch ${own.epoch} votes for ${from} with ${epoch}`;
    });
  }

  /** E5: nothing that a leader of the past does has an effect. */
  #refusesStale(
    node: SimNode,
    from: PeerId,
    message: Message,
    before: ElectionState,
    { state, effects }: ElectionStep,
  ): void {
    if (!acts(message) && message.type !== 'vote' && message.type !== 'stand') return;
    this.stats.fenced++;
    const what = `${message.type} of ${from} in term ${message.term}`;
    const follows = state.leader !== before.leader || state.role !== before.role;
    if (follows || (message.type === 'beat' && state.heardAt !== before.heardAt)) {
      this.fail('E5', `${node.id} in term ${before.hard.term} follows a ${what}`);
    }
    for (const effect of effects) {
      if (effect.type === 'append' || effect.type === 'persist' || grantsAnything(effect)) {
        this.fail('E5', `${node.id} in term ${before.hard.term} accepts a ${what}`);
      }
    }
  }

  #holdsRole(node: SimNode, term: Term): void {
    const known = this.#roles.get(term);
    if (known === node.id) return;
    if (known !== undefined) this.fail('E1', `${known} and ${node.id} lead in term ${term}`);
    this.#roles.set(term, node.id);
  }

  /** E4: a leader that a majority has not answered for one time-out leads no more. */
  #leads(node: SimNode, account: Account, state: ElectionState): void {
    const { heartbeatMs, timeoutMs } = this.#world.plan.timing;
    const slack = 2 * heartbeatMs;
    const now = node.localNow;
    if (wakeAt(state) > now + slack) this.fail('E4', `${node.id} leads and sleeps`);
    const earliest = now - timeoutMs - slack;
    if (account.ledSince > earliest || account.wokeAt > now - slack) return;
    const { voters } = node.head.facts;
    let heard = 0;
    for (const voter of voters) {
      const at = voter === node.id ? now : account.answers.get(voter);
      if (at !== undefined && at > earliest) heard++;
    }
    if (heard < majorityOf(voters.length)) {
      this.fail('E4', `${node.id} leads, ${heard} of ${voters.length} voters answered lately`);
    }
  }

  elected(node: SimNode, effect: Extract<ElectionEffect, { type: 'elected' }>): void {
    this.stats.elections++;
    const { term, epoch, votes } = effect;
    const known = this.#leaders.get(term);
    if (known !== undefined) this.fail('E1', `${known} and ${node.id} are elected in ${term}`);
    this.#leaders.set(term, node.id);
    if (this.quiet) this.fail('E7', `${node.id} is elected though nothing happened`);
    const voters = ancestor(node.head, epoch).facts.voters;
    const from = new Set<PeerId>();
    for (const bytes of votes) {
      const vote = this.#world.toy.openVote(bytes);
      const fits = vote.term === term && vote.epoch === epoch && vote.candidate === node.id;
      this.#inside('E1', fits, () => `${node.id} counts a vote for another, or of another term`);
      if (voters.includes(vote.voter)) from.add(vote.voter);
    }
    this.#inside('E1', from.size >= majorityOf(voters.length), () => {
      return `${node.id} is elected by ${from.size} of ${voters.length} voters`;
    });
    const account = this.#account(node);
    account.answers.clear();
    account.ledSince = node.localNow;
    this.#churn.elected(node);
  }

  evidence(node: SimNode, voter: PeerId): void {
    this.fail('E3', `${node.id} has evidence against ${voter}`);
  }

  // -- E7: who deposes a leader that has its majority; see churn.ts

  deposed(node: SimNode, term: Term, trigger: Trigger): void {
    if (this.quiet) this.fail('E7', `${node.id} is deposed though nothing happened`);
    const wrong = this.#churn.deposed(node, term, trigger);
    if (wrong !== undefined) this.fail('E7', wrong);
  }

  /** Something is wrong with the node itself, for so long from now on. */
  disturbNode(node: SimNode, forMs = 0): void {
    this.#churn.disturbNode(node, forMs);
    const account = this.#account(node);
    account.wokeAt = Math.max(account.wokeAt, node.localNow + forMs * node.rate) as Millis;
  }

  disturbPair(a: number, b: number): void {
    this.#churn.disturbPair(a, b);
  }

  /** A message came so late that it counts as a fault. */
  late(a: number, b: number, message: Message): void {
    this.#churn.late(a, b, message);
  }
}

/** What only the leader of its term does. */
const acts = ({ type }: Message): boolean =>
  type === 'beat' || type === 'propose' || type === 'entry' || type === 'stand';

const answersAct = (effect: ElectionEffect, from: PeerId): boolean =>
  effect.type === 'send' &&
  effect.to === from &&
  (effect.message.type === 'beat-reply' || effect.message.type === 'propose-reply');

function grantsAnything(effect: ElectionEffect): boolean {
  if (effect.type !== 'send') return false;
  const { message } = effect;
  if (message.type === 'vote-reply' || message.type === 'pre-vote-reply') {
    return message.refusal === null;
  }
  if (message.type === 'propose-reply') return message.signature !== null;
  return message.type === 'vote' || message.type === 'pre-vote';
}

function newAccount(): Account {
  return {
    votes: new Map(),
    signed: new Map(),
    led: null,
    answers: new Map(),
    ledSince: 0 as Millis,
    spoken: 0,
    wokeAt: 0 as Millis,
  };
}
