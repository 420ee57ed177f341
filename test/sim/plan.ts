/**
 * What one seed is about: how large the cluster is, how its clocks run, what its network and disks
 * do to it, and which faults it is aimed at. Everything is drawn before the run begins.
 */
import { type Millis, millis, type PeerId } from '../../src/base/brands.ts';
import type { Timing } from '../../src/election/types.ts';
import type { Rng } from './random.ts';

/** Instants at which a process may die. */
export type Moment =
  | 'persist'
  | 'persisted'
  | 'granted'
  | 'asked'
  | 'proposed'
  | 'signed'
  | 'append'
  | 'appended'
  | 'elected'
  | 'beat';

/** Disturbances; their weights are the seed's character. */
export type Fault =
  | 'crash'
  | 'crash-leader'
  | 'restart-all'
  | 'pause'
  | 'pause-leader'
  | 'split'
  | 'isolate'
  | 'isolate-leader'
  | 'one-way'
  | 'bridge'
  | 'loss'
  | 'slow-disk'
  | 'change'
  | 'changes'
  | 'change-then-fault'
  | 'drop-leader'
  | 'transfer'
  | 'step-down'
  | 'campaign'
  | 'duel'
  | 'late-stand'
  | 'propose-twice';

export interface Plan {
  readonly peers: readonly PeerId[];
  /** The first so many vote at the beginning. */
  readonly voters: number;
  /** The next so many are members that do not. */
  readonly members: number;
  readonly timing: Timing;
  /** Clocks differ by so much that time-outs mean nothing; only safety is promised then. */
  readonly wild: boolean;
  /** How far rates are from 1. */
  readonly skew: number;
  readonly drop: number;
  readonly duplicate: number;
  /** Mean of a message's way, in ms. */
  readonly delay: number;
  /** Mean of one way of a roster exchange, which may wait behind other work. */
  readonly exchangeMs: number;
  /** Share of messages that take up to `straggleMs`. */
  readonly straggle: number;
  readonly straggleMs: number;
  /** Share of messages behind a cut that arrive when it heals, as bytes in a kernel do. */
  readonly hold: number;
  /** Share of cuts and deaths that the other side notices at once. */
  readonly notice: number;
  /** Processes that die are back within milliseconds. */
  readonly quick: boolean;
  /** Share of writes that take time, and how long at most. */
  readonly disk: number;
  readonly diskMs: number;
  /** Share of timers that fire late. */
  readonly lateTimer: number;
  /**
   * When the machine sees a new roster: with an input of its own before all that waits, with one
   * behind all that waits, or at once, ahead of that input.
   */
  readonly roster: 'first' | 'last' | 'live';
  /** Messages of those that the receiver does not know as members yet are dropped. */
  readonly gated: boolean;
  /** Each host has a ranking of its own. */
  readonly disagree: boolean;
  readonly hazards: Readonly<Partial<Record<Moment, number>>>;
  readonly faults: readonly (readonly [Fault, number])[];
  /** Mean time between two faults. */
  readonly everyMs: number;
  readonly chaosMs: number;
}

type Weights = Readonly<Partial<Record<Fault, number>>>;

/** What a seed is aimed at; several aim at what election algorithms get wrong. */
interface Character {
  readonly faults: Weights;
  /** Where its crashes may be aimed; see {@link AIMS}. */
  readonly aims: readonly (readonly Moment[])[];
  readonly every: readonly number[];
  /** Candidates meet: no stagger, slow messages, processes that are back at once. */
  readonly tight?: true;
  /** Five voters, and two members that may become voters. */
  readonly five?: true;
}

/** Where crashes are aimed: few places in one seed, so that each is hit often. */
const AIMS: Character['aims'] = [
  ...[[], [], [], []],
  ['persist', 'persisted'],
  ['granted'],
  ['granted', 'asked'],
  ['proposed', 'signed'],
  ['append', 'appended'],
  ['appended'],
  ['elected', 'beat'],
];

const OFTEN = [150, 400, 900] as const;
const SELDOM = [1500, 2500] as const;

const CHARACTERS: readonly Character[] = [
  {
    faults: { change: 6, transfer: 1, 'step-down': 1, campaign: 1 },
    ...{ aims: [[]], every: OFTEN },
  },
  {
    faults: { crash: 4, 'crash-leader': 3, 'restart-all': 1, change: 4, 'slow-disk': 1 },
    ...{ aims: AIMS, every: OFTEN },
  },
  {
    faults: {
      ...{ split: 3, isolate: 2, 'isolate-leader': 3, 'one-way': 2, bridge: 1, loss: 2 },
      change: 5,
    },
    ...{ aims: AIMS, every: OFTEN },
  },
  {
    faults: { pause: 2, 'pause-leader': 5, 'crash-leader': 1, change: 5, campaign: 1 },
    ...{ aims: AIMS, every: OFTEN },
  },
  {
    faults: {
      ...{ changes: 5, 'change-then-fault': 5, 'drop-leader': 2, 'propose-twice': 3 },
      ...{ 'isolate-leader': 1, split: 1 },
    },
    ...{ aims: AIMS, every: OFTEN },
  },
  {
    faults: { duel: 8, isolate: 1, 'crash-leader': 1, change: 1 },
    ...{ aims: [['granted'], ['granted', 'asked'], ['persisted']], every: OFTEN, tight: true },
  },
  {
    faults: { 'change-then-fault': 8, 'propose-twice': 2 },
    ...{
      aims: [[], ['proposed', 'signed'], ['append', 'appended'], ['appended']],
      every: [150, 400],
    },
  },
  {
    faults: { isolate: 8, change: 2 },
    ...{ aims: [[]], every: SELDOM },
  },
  {
    faults: { 'late-stand': 1 },
    ...{ aims: [[]], every: [900], tight: true, five: true },
  },
  {
    faults: {
      ...{ crash: 2, 'crash-leader': 2, pause: 1, 'pause-leader': 2, split: 2, isolate: 1 },
      ...{ 'isolate-leader': 2, 'one-way': 1, loss: 1, 'slow-disk': 1, change: 4, changes: 1 },
      ...{ 'change-then-fault': 3, 'drop-leader': 1, transfer: 1, 'step-down': 1, campaign: 1 },
      ...{ duel: 1, 'propose-twice': 1, 'restart-all': 1, 'late-stand': 1 },
    },
    ...{ aims: AIMS, every: OFTEN },
  },
];

/** Clusters of 1, 2, 3, 5 and 7; small ones more often, where faults bite. */
const SIZES = [1, 2, 2, 3, 3, 3, 3, 5, 5, 7] as const;

function timingOf(rng: Rng, tight: boolean): Timing {
  const timeoutMs = millis(rng.pick([400, 500, 600]));
  return {
    heartbeatMs: (timeoutMs / 5) as Millis,
    timeoutMs,
    staggerMs: millis(tight ? 0 : rng.pick([0, 10, 40])),
    retryMs: millis(20),
    minTermMs: millis(rng.pick([0, 500])),
  };
}

export function planOf(rng: Rng): Plan {
  const { faults, aims, every, tight = false, five = false } = rng.pick(CHARACTERS);
  const voters = five ? 5 : rng.pick(SIZES);
  const members = five ? 2 : rng.below(3);
  const spare = voters < 3 ? 2 : 1;
  const count = voters + members + spare;
  const peers = Array.from({ length: count }, (_, i) => `n${i + 1}` as PeerId);
  const wild = !five && rng.chance(0.1);
  const lossy = !five && rng.chance(0.5);
  return {
    peers,
    voters,
    members,
    timing: timingOf(rng, tight && !five),
    wild,
    skew: wild ? 0.6 : rng.pick([0, 0.01, 0.08]),
    drop: lossy ? rng.pick([0.005, 0.02, 0.1]) : 0,
    duplicate: lossy ? rng.pick([0, 0.02, 0.1]) : 0,
    delay: five ? 1 : tight ? 8 : rng.pick([0.5, 2, 8]),
    exchangeMs: five ? 2 : rng.pick([2, 20, 600]),
    straggle: !five && rng.chance(0.4) ? rng.pick([0.01, 0.05]) : 0,
    straggleMs: rng.pick([300, 1500, 4000]),
    hold: five ? 0 : rng.pick([0, 0, 0.5, 1]),
    notice: rng.pick([0, 0.5, 1]),
    quick: tight || rng.chance(0.3),
    disk: five ? 0 : rng.pick([0, 0.3]),
    diskMs: rng.pick([5, 20]),
    lateTimer: rng.chance(0.2) ? 0.02 : 0,
    roster: rng.pick(['first', 'first', 'last', 'live'] as const),
    gated: rng.chance(0.3),
    disagree: rng.chance(0.3),
    hazards: Object.fromEntries(
      rng.pick(aims).map((moment) => [moment, rng.pick([0.02, 0.08, 0.2])]),
    ),
    faults: Object.entries(faults) as [Fault, number][],
    everyMs: rng.pick(every),
    chaosMs: rng.pick([4000, 8000, 12000]),
  };
}
