/**
 * Plays failovers in memory, so that the code of one is warm when one comes. An election runs once
 * in weeks and takes some milliseconds of work, of which most is first use: schemas that are
 * compiled, functions that were never run. Three machines with throw-away identities, the real
 * seals, messages and chain; no disk, no stream, nothing of the cluster.
 * @module
 */
import { generateKeyPair } from '@libp2p/crypto/keys';
import { type Millis, millis, type PeerId, type Term } from '../base/brands.ts';
import { createSigner } from '../base/envelope.ts';
import { BzzzError } from '../base/errors.ts';
import type { Random, Signer } from '../base/ports.ts';
import { type Chain, createChain, entriesFrom, extendChain } from '../roster/chain.ts';
import {
  assembleEntry,
  type Change,
  decodeEntry,
  type EntryBody,
  signBody,
} from '../roster/entry.ts';
import { createGenesis } from '../roster/genesis.ts';
import { certifyElection, verifyLeaderCertificate } from './certificate.ts';
import { factsSource } from './facts.ts';
import { beginElection, stepElection, wakeAt } from './machine.ts';
import { nextEpoch } from './rules.ts';
import { createSeals } from './seals.ts';
import { NO_HARD } from './store.ts';
import type {
  ElectionContext,
  ElectionEffect,
  ElectionInput,
  ElectionState,
  Message,
  Seals,
} from './types.ts';
import { decodeMessage, encodeMessage } from './wire.ts';

export interface RehearsalDeps {
  readonly random: Random;
  /** Between two inputs: nothing here holds up the event loop. */
  readonly nextTurn: () => Promise<void>;
  readonly isOver: () => boolean;
}

/** One of three voters. */
class Player {
  readonly id: PeerId;
  chain: Chain;
  state: ElectionState;
  readonly #seals: Seals;
  readonly #ranking: readonly PeerId[];
  readonly #facts = factsSource(() => this.chain);

  constructor(signer: Signer, chain: Chain) {
    this.id = signer.peerId;
    this.chain = chain;
    this.#seals = createSeals(chain.genesis.clusterId, signer);
    this.#ranking = chain.view.voters;
    this.state = beginElection(NO_HARD, this.context(millis(0))).state;
  }

  context(now: Millis): ElectionContext {
    const roster = this.#facts();
    const [seals, ranking] = [this.#seals, this.#ranking];
    return { self: this.id, now, timing: TIMING, seals, ranking, roster, chance: () => 0.5 };
  }

  get deadline(): Millis {
    return wakeAt(this.state);
  }

  /** Starts again, with what `newest` knows of the roster. */
  restart(newest: Player, now: Millis): void {
    this.chain = newest.chain;
    this.state = beginElection(this.state.hard, this.context(now)).state;
  }
}

const TIMING: ElectionContext['timing'] = {
  ...{ heartbeatMs: 50, timeoutMs: 500, staggerMs: 20, retryMs: 20, minTermMs: 1_000 },
};
/** A failover takes some 40 inputs. */
const MOST_INPUTS = 400;

/** Plays `takes` failovers, each with two changes of the roster. @throws INTERNAL: it is stuck. */
export async function rehearse(takes: number, deps: RehearsalDeps): Promise<void> {
  const stage = await Stage.open(deps);
  for (let i = 0; i < takes && !deps.isOver(); i++) await stage.play();
}

class Stage {
  readonly #deps: RehearsalDeps;
  readonly #players: readonly Player[];
  readonly #inputs: (readonly [Player, ElectionInput])[] = [];
  #now = millis(0);
  /** The player that is not there. */
  #absent: PeerId | undefined;
  #done = 0;

  private constructor(players: readonly Player[], deps: RehearsalDeps) {
    this.#players = players;
    this.#deps = deps;
  }

  static async open(deps: RehearsalDeps): Promise<Stage> {
    const keys = await Promise.all([0, 1, 2].map(() => generateKeyPair('Ed25519')));
    const signers = keys.map(createSigner);
    const chain = threeVoters(signers, deps.random);
    return new Stage(
      signers.map((signer) => new Player(signer, chain)),
      deps,
    );
  }

  /** The leader goes, another one takes its vote away and gives it back, and it returns. */
  async play(): Promise<void> {
    const leader = this.#leader();
    const others = this.#players.filter((player) => player !== leader);
    this.#absent = leader?.id;
    this.#now = millis(this.#now + TIMING.timeoutMs);
    if (leader !== undefined) {
      const input = { type: 'link', peer: leader.id, live: false } as const;
      for (const player of others) this.#inputs.push([player, input]);
    }
    await this.#until(() => this.#leader() !== undefined);
    const peer = leader?.id ?? others.find((player) => player !== this.#leader())?.id;
    if (peer === undefined) return;
    for (const kind of ['demote', 'promote'] as const) await this.#change({ kind, peer });
    const newest = this.#leader();
    if (newest !== undefined) leader?.restart(newest, this.#now);
    this.#absent = undefined;
  }

  async #change(change: Change): Promise<void> {
    const leader = this.#leader();
    if (leader === undefined) return;
    const done = this.#done;
    this.#inputs.push([leader, { type: 'propose', id: change.kind, change, time: 0 }]);
    await this.#until(() => this.#done > done);
  }

  #leader(): Player | undefined {
    return this.#players.find(({ id, state }) => state.role === 'leader' && id !== this.#absent);
  }

  async #until(isSo: () => boolean): Promise<void> {
    for (let i = 0; i < MOST_INPUTS; i++) {
      if (isSo() || this.#deps.isOver()) return;
      const next = this.#inputs.shift();
      if (next === undefined) this.#wait();
      else this.#feed(...next);
      await this.#deps.nextTurn();
    }
    throw new BzzzError('INTERNAL', 'a rehearsed election got stuck');
  }

  /** The next timer of those that are there. */
  #wait(): void {
    const there = this.#players.filter((player) => player.id !== this.#absent);
    this.#now = Math.min(...there.map((player) => player.deadline)) as Millis;
    for (const player of there) {
      if (player.deadline <= this.#now) this.#inputs.push([player, { type: 'tick' }]);
    }
  }

  #feed(player: Player, input: ElectionInput): void {
    if (player.id === this.#absent) return;
    const { state, effects } = stepElection(player.state, input, player.context(this.#now));
    player.state = state;
    for (const effect of effects) this.#perform(player, effect);
  }

  #perform(player: Player, effect: ElectionEffect): void {
    switch (effect.type) {
      case 'send':
        this.#send(player, effect.to, effect.message);
        break;
      case 'append':
        this.#append(player, effect.entry);
        break;
      case 'offer':
        for (const entry of entriesFrom(player.chain, effect.epoch)) {
          this.#send(player, effect.to, { type: 'entry', term: effect.term, entry });
        }
        break;
      case 'elected':
        prove(player, effect);
        break;
      case 'done':
        this.#done++;
        break;
      case 'refused':
        throw effect.error;
    }
  }

  #send(from: Player, to: PeerId, message: Message): void {
    const receiver = this.#players.find((player) => player.id === to);
    if (receiver === undefined || to === this.#absent) return;
    const heard = decodeMessage(encodeMessage(message));
    this.#inputs.push([receiver, { type: 'message', from: from.id, message: heard }]);
  }

  #append(player: Player, bytes: Uint8Array): void {
    const entry = decodeEntry(player.chain.genesis.clusterId, bytes);
    player.chain = extendChain(player.chain, [entry]).chain;
    this.#inputs.unshift([player, { type: 'roster' }]);
  }
}

/** As a new leader makes its certificate, and as the others check it. */
function prove(
  { id, chain }: Player,
  { term, epoch, votes }: Extract<ElectionEffect, { type: 'elected' }>,
): void {
  verifyLeaderCertificate(certifyElection(chain, { term, epoch, leader: id, votes }), chain);
}

/** A chain of the first signer's cluster in which all of them vote. */
function threeVoters(signers: readonly Signer[], random: Random): Chain {
  const [founder, ...others] = signers;
  if (founder === undefined) throw new BzzzError('INTERNAL', 'a rehearsal without players');
  const salt = random.bytes(16);
  let chain = createChain(createGenesis({ name: 'rehearsal', salt, founder: founder.peerId }));
  for (const { peerId: peer } of others) {
    const admit = { kind: 'admit', peer, role: 'persistent', noVoter: false } as const;
    chain = grown(chain, signers, admit);
  }
  for (const { peerId: peer } of others) chain = grown(chain, signers, { kind: 'promote', peer });
  return chain;
}

function grown(chain: Chain, signers: readonly Signer[], change: Change): Chain {
  const { genesis, view } = chain;
  const term = 1 as Term;
  const body: EntryBody = {
    ...{ v: 1, epoch: nextEpoch(view.epoch), term, prev: view.head, change, time: 0 },
  };
  const signatures = signers
    .filter(({ peerId }) => view.voters.includes(peerId))
    .map((signer) => signBody(genesis.clusterId, signer, body, term));
  const entry = assembleEntry(genesis.clusterId, body, term, signatures);
  return extendChain(chain, [entry]).chain;
}
