/**
 * What one seed is about: which keys, how many requests, what network, disks and clocks do to
 * them, and which faults it is aimed at. Everything is drawn before the run begins.
 */
import type { Rng } from '../random.ts';

/** Instants at which a process may die. */
export type Moment =
  | 'write'
  | 'written'
  | 'sync'
  | 'synced'
  | 'send'
  | 'sent'
  | 'request'
  | 'asked'
  | 'answer';

/** Disturbances; their weights are the seed's character. */
export type Fault =
  | 'crash'
  | 'power'
  | 'pause'
  | 'split'
  | 'isolate'
  | 'one-way'
  | 'loss'
  | 'full-disk'
  | 'replay'
  | 'cancel'
  /** An old copy of the disk comes back. */
  | 'restore'
  /** A copy of the disk runs beside the original, under the same identity. */
  | 'twin';

export interface Plan {
  readonly hosts: number;
  readonly threshold: number;
  /** The first so many hosts hold the first key. */
  readonly holders: number;
  /** Key generations during the faults. */
  readonly keygens: number;
  /** Times that the first key is refreshed during the faults. */
  readonly refreshes: number;
  /** Times that it is given to other parties, or another threshold. */
  readonly reshares: number;
  /** A holder loses its share, and others rebuild it. */
  readonly repairs: number;
  /** The first host helps with parts that are not of its share. */
  readonly liar: boolean;
  /** Requests for signatures during the faults. */
  readonly requests: number;
  /** Different messages among them; few of them make requests meet. */
  readonly messages: number;
  readonly ttlMs: number;
  /** How far the rates of clocks are from 1. */
  readonly skew: number;
  /** Hosts exchange nonce commitments ahead; else every signature takes two exchanges. */
  readonly pools: boolean;
  /** Events come between the steps of one computation. */
  readonly turns: boolean;
  /** Share of gossip that arrives; it is only news. */
  readonly gossip: number;
  readonly drop: number;
  readonly duplicate: number;
  /** Mean of a message's way, in ms. */
  readonly delay: number;
  readonly straggle: number;
  readonly straggleMs: number;
  /** Share of writes that take time, and how long at most. */
  readonly disk: number;
  readonly diskMs: number;
  /** Share of deaths and cuts that peers notice at once. */
  readonly notice: number;
  /** Mean time that a dead process stays dead. */
  readonly awayMs: number;
  readonly hazards: Readonly<Partial<Record<Moment, number>>>;
  readonly faults: readonly (readonly [Fault, number])[];
  readonly everyMs: number;
  readonly chaosMs: number;
}

type Weights = Readonly<Partial<Record<Fault, number>>>;

interface Character {
  readonly faults: Weights;
  readonly aims: readonly (readonly Moment[])[];
}

/** Where crashes are aimed: few places in one seed, so that each is hit often. */
const AIMS: Character['aims'] = [
  ...[[], [], []],
  ['sync', 'synced'],
  ['write', 'written'],
  ['send', 'sent'],
  ['request', 'asked', 'answer'],
];

const CHARACTERS: readonly Character[] = [
  { faults: { crash: 3, power: 2 }, aims: AIMS },
  { faults: { split: 2, isolate: 2, 'one-way': 1, loss: 2 }, aims: [[], ['sent']] },
  { faults: { pause: 4, crash: 1, cancel: 1 }, aims: [[], ['synced', 'sent']] },
  { faults: { replay: 4, loss: 1, crash: 1, power: 1 }, aims: [[]] },
  { faults: { 'full-disk': 3, power: 2, crash: 1 }, aims: [[], ['synced']] },
  { faults: { restore: 3, crash: 1, replay: 1 }, aims: [[]] },
  { faults: { twin: 1, loss: 1 }, aims: [[]] },
  {
    faults: {
      ...{ crash: 2, power: 2, pause: 2, split: 1, isolate: 2, 'one-way': 1, loss: 1 },
      ...{ 'full-disk': 1, replay: 1, cancel: 1 },
    },
    aims: AIMS,
  },
];

const SIZES = [
  [2, 3],
  [2, 3],
  [2, 3],
  [2, 2],
  [3, 4],
  [3, 5],
] as const;

/** What becomes of a key that is not refreshed. */
const CHANGES = ['none', 'reshare', 'repair'] as const;

/** @param more draws of its own for what came to the plan later: seeds keep their character. */
export function planOf(rng: Rng, more: Rng): Plan {
  const { faults, aims } = rng.pick(CHARACTERS);
  const [threshold, holders] = rng.pick(SIZES);
  const lossy = rng.chance(0.5);
  const makesKeys = rng.chance(0.4) || 'twin' in faults;
  const spare = rng.chance(0.2);
  const refreshed = !makesKeys && rng.chance(0.3);
  const change = makesKeys || refreshed ? 'none' : more.pick(CHANGES);
  return {
    hosts: holders + (spare ? 1 : 0),
    ...{ threshold, holders },
    keygens: makesKeys ? 1 : 0,
    refreshes: refreshed ? 1 : 0,
    reshares: change === 'reshare' ? 1 + more.below(2) : 0,
    repairs: change === 'repair' ? 1 : 0,
    liar: change === 'repair' && more.chance(0.3),
    requests: makesKeys ? rng.below(2) : 1 + rng.below(3),
    messages: 1 + rng.below(3),
    ttlMs: rng.pick([3_000, 6_000]),
    skew: rng.pick([0, 0.01, 0.1]),
    pools: rng.chance(0.5),
    turns: rng.chance(0.25),
    gossip: rng.pick([0, 0, 0, 1]),
    drop: lossy ? rng.pick([0.01, 0.05, 0.2]) : 0,
    duplicate: lossy ? rng.pick([0, 0.05, 0.2]) : 0,
    delay: rng.pick([0.5, 2, 8]),
    straggle: rng.chance(0.4) ? 0.03 : 0,
    straggleMs: rng.pick([100, 600, 2_000]),
    disk: rng.pick([0, 0.3]),
    diskMs: rng.pick([5, 50]),
    notice: rng.pick([0, 0.5, 1]),
    awayMs: rng.pick([20, 400, 1_500]),
    hazards: Object.fromEntries(rng.pick(aims).map((moment) => [moment, rng.pick([0.01, 0.04])])),
    faults: Object.entries(faults) as [Fault, number][],
    everyMs: rng.pick([80, 200, 500]),
    chaosMs: rng.pick([600, 1_500]),
  };
}
