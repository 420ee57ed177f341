/**
 * What this node sees of the voters, and the order that follows from it: who should stand first.
 * @module
 */
import type { PeerId, Term } from '../base/brands.ts';
import type { Clock } from '../base/ports.ts';
import type { TermRecord } from '../election/history.ts';
import {
  type Capabilities,
  type Observation,
  rank,
  scoreOf,
  type Weights,
} from '../election/score.ts';
import type { RosterView } from '../roster/types.ts';
import type { Network, PeerStatus } from './net/network.ts';
import { ownResources } from './net/resources.ts';

export interface ObserverDeps {
  readonly self: PeerId;
  readonly network: Pick<Network, 'peers' | 'presence'>;
  readonly roster: () => RosterView;
  readonly clock: Clock;
  readonly weights: Weights;
  /** The words that this version knows. */
  readonly known: Capabilities;
  readonly term: () => Term;
  readonly history: () => readonly TermRecord[];
}

/** Beats ask for the order many times a second; it changes in minutes. */
const FRESH_MS = 2_000;

/** Scores and ranks voters; the order is kept for a moment. */
export class Observer {
  readonly #deps: ObserverDeps;
  readonly #startedAt: number;
  #order: readonly PeerId[] = [];
  #orderAt = Number.NEGATIVE_INFINITY;
  #orderOf: readonly PeerId[] | undefined;

  constructor(deps: ObserverDeps) {
    this.#deps = deps;
    this.#startedAt = deps.clock.now();
  }

  /** The voters, the one that should stand first at the front. */
  ranking(): readonly PeerId[] {
    const { clock, roster, term } = this.#deps;
    const { voters } = roster();
    const now = clock.now();
    if (voters !== this.#orderOf || now - this.#orderAt > FRESH_MS) {
      this.#order = rank(voters, this.scores(), term());
      this.#orderOf = voters;
      this.#orderAt = now;
    }
    return this.#order;
  }

  /** Of every voter that is connected, and of this node. */
  scores(): ReadonlyMap<PeerId, number> {
    const { self, network, roster, known, weights } = this.#deps;
    const peers = network.peers();
    const led = wellLed(this.#deps.history());
    const scores = new Map<PeerId, number>();
    for (const voter of roster().voters) {
      const peer = peers.find(({ peerId }) => peerId === voter);
      if (voter !== self && peer?.connected !== true) continue;
      const seen = peer === undefined ? this.#self(peers, known) : this.#peer(peer);
      scores.set(voter, scoreOf({ ...seen, termsLed: led.get(voter) ?? 0 }, known, weights));
    }
    return scores;
  }

  #peer(peer: PeerStatus): Omit<Observation, 'termsLed'> {
    return {
      connectedMs: peer.fresh ? this.#deps.network.presence.connectedMs(peer.peerId) : 0,
      capabilities: peer.announcement?.capabilities ?? null,
      resources: peer.announcement?.resources ?? null,
      rttMs: peer.rttMs,
    };
  }

  #self(peers: readonly PeerStatus[], known: Capabilities): Omit<Observation, 'termsLed'> {
    const rtts = peers.flatMap(({ rttMs }) => rttMs ?? []).sort((a, b) => a - b);
    return {
      connectedMs: this.#deps.clock.now() - this.#startedAt,
      capabilities: known,
      resources: ownResources(),
      rttMs: rtts[Math.floor(rtts.length / 2)] ?? null,
    };
  }
}

/** Terms of each leader that ended by its own will: nobody had to notice that it was gone. */
function wellLed(history: readonly TermRecord[]): ReadonlyMap<PeerId, number> {
  const led = new Map<PeerId, number>();
  for (const [i, { leader }] of history.entries()) {
    const next = history[i - 1]; // newest first
    if (next?.trigger !== 'transfer' && next?.trigger !== 'manual') continue;
    led.set(leader, (led.get(leader) ?? 0) + 1);
  }
  return led;
}
