/**
 * When copies are looked at again because members came or went, and by whom. Pure:
 * `step(pace, state, event)`.
 *
 * A member that is away, or back, for `patienceMs` has changed. Where somebody leads, the leader
 * orders one repair for all that changed, and every node waits for the order; without a leader, or
 * when no order came in `orderMs`, each node begins by itself. A pass looks only at records that
 * stood when it was begun and whose home the change touches, and only the first of the remaining
 * holders, by rendezvous hashing of the record's key, asks the others and fills the gap. Later
 * ranks do the same `rankMs` apart, and find nothing left to do unless an earlier one failed.
 *
 * | event   | condition                            | effect                             |
 * | ------- | ------------------------------------ | ---------------------------------- |
 * | tick    | changed, leads, not yet ordered      | order                              |
 * | tick    | changed, nobody leads                | pass of rank 0, later ranks noted  |
 * | tick    | changed, no order came in `orderMs`  | the same                           |
 * | tick    | a later rank is due                  | pass of that rank                  |
 * | ordered | changed here too                     | pass of rank 0, later ranks noted  |
 *
 * Any other pair changes nothing. A member that comes back in time has not changed; one that came
 * and went in less than `patienceMs` has, for it was given copies.
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import { byRank, nearest } from './homes.ts';

/** Times in ms. */
export interface RepairPace {
  /** A restart should not move copies about. */
  readonly patienceMs: number;
  /** What the leader's order may take. */
  readonly orderMs: number;
  /** Between two ranks. */
  readonly rankMs: number;
  /** Ranks that look at all. */
  readonly ranks: number;
}

/** A look at the records whose home changed, by the holders of one rank. */
export interface RepairPass {
  readonly rank: number;
  /** When it was begun. What came later went to the holders of now. */
  readonly since: number;
  readonly changed: ReadonlySet<PeerId>;
  /** Members that the copies were in line with before, this node not among them. */
  readonly before: ReadonlySet<PeerId>;
}

interface Later {
  readonly at: number;
  readonly pass: RepairPass;
}

export interface RepairState {
  /** Members that the copies were last brought in line with, this node not among them. */
  readonly settled: ReadonlySet<PeerId>;
  /** Since when a member differs from that. */
  readonly since: ReadonlyMap<PeerId, number>;
  /** Since when members are gone that came, and were not settled yet. */
  readonly fleeting: ReadonlyMap<PeerId, number>;
  /** Of those, whom this node, leading, has ordered a repair for. */
  readonly asked: ReadonlySet<PeerId>;
  readonly later: readonly Later[];
}

export type RepairEvent =
  | {
      readonly type: 'tick';
      readonly now: number;
      /** Members that can be reached. */
      readonly present: ReadonlySet<PeerId>;
      readonly leader: 'self' | 'other' | 'none';
    }
  /** The leader has the repair for these begun. */
  | { readonly type: 'ordered'; readonly now: number; readonly changed: readonly PeerId[] };

export type RepairEffect =
  | { readonly type: 'order'; readonly changed: readonly PeerId[] }
  | { readonly type: 'pass'; readonly pass: RepairPass };

export interface RepairStep {
  readonly state: RepairState;
  readonly effects: readonly RepairEffect[];
}

/** Passes waiting for their time; a change beyond that keeps its first rank and loses others. */
const MAX_LATER = 64;

/** @param members of the roster without this node: all count as present until they are missed. */
export const repairStart = (members: readonly PeerId[]): RepairState => ({
  settled: new Set(members),
  since: new Map(),
  fleeting: new Map(),
  asked: new Set(),
  later: [],
});

/** One step; see the table above. */
export function repairStep(pace: RepairPace, state: RepairState, event: RepairEvent): RepairStep {
  if (event.type === 'ordered') {
    const { since, fleeting } = state;
    const changed = event.changed.filter((peer) => since.has(peer) || fleeting.has(peer));
    return begin(pace, state, changed, event.now);
  }
  const { now, present, leader } = event;
  const since = new Map<PeerId, number>();
  for (const peer of [...state.settled, ...present]) {
    if (state.settled.has(peer) !== present.has(peer))
      since.set(peer, state.since.get(peer) ?? now);
  }
  const fleeting = fleetingOf(state, present, now);
  const waiting = new Map([...fleeting, ...since]);
  const asked = new Set([...state.asked].filter((peer) => waiting.has(peer)));
  const lasting = (ms: number): PeerId[] =>
    [...waiting].filter(([, from]) => now - from >= ms).map(([peer]) => peer);
  const { patienceMs, orderMs } = pace;
  const order = leader === 'self' ? lasting(patienceMs).filter((peer) => !asked.has(peer)) : [];
  for (const peer of order) asked.add(peer);
  const due = state.later.filter(({ at }) => at <= now);
  const later = state.later.filter(({ at }) => at > now);
  const alone = lasting(leader === 'none' ? patienceMs : patienceMs + orderMs);
  const begun = begin(pace, { ...state, since, fleeting, asked, later }, alone, now);
  return {
    state: begun.state,
    effects: [
      ...(order.length === 0 ? [] : [{ type: 'order' as const, changed: order }]),
      ...begun.effects,
      ...due.map(({ pass }) => ({ type: 'pass' as const, pass })),
    ],
  };
}

function fleetingOf(
  { settled, since, fleeting }: RepairState,
  present: ReadonlySet<PeerId>,
  now: number,
): ReadonlyMap<PeerId, number> {
  const went = [...since.keys()].filter((peer) => !settled.has(peer));
  return new Map(
    [...fleeting, ...went.map((peer) => [peer, now] as const)].filter(
      ([peer]) => !present.has(peer),
    ),
  );
}

/** The copies are brought in line with `changed` from here on. */
function begin(
  pace: RepairPace,
  state: RepairState,
  changed: readonly PeerId[],
  now: number,
): RepairStep {
  if (changed.length === 0) return { state, effects: [] };
  const settled = new Set(state.settled);
  for (const peer of changed) {
    if (!settled.delete(peer) && !state.fleeting.has(peer)) settled.add(peer);
  }
  const left = <V>(entries: Iterable<readonly [PeerId, V]>): (readonly [PeerId, V])[] =>
    [...entries].filter(([peer]) => !changed.includes(peer));
  const first = { rank: 0, since: now, changed: new Set(changed), before: state.settled };
  const next = Array.from({ length: pace.ranks - 1 }, (_, i) => {
    return { at: now + (i + 1) * pace.rankMs, pass: { ...first, rank: i + 1 } };
  });
  return {
    state: {
      settled,
      since: new Map(left(state.since)),
      fleeting: new Map(left(state.fleeting)),
      asked: new Set([...state.asked].filter((peer) => !changed.includes(peer))),
      later: [...state.later, ...next].slice(0, MAX_LATER),
    },
    effects: [{ type: 'pass', pass: first }],
  };
}

/** Who is there, for {@link turnAt}. */
export interface Surroundings {
  readonly self: PeerId;
  /** Other members that can be reached. */
  readonly present: ReadonlySet<PeerId>;
  /** Copies of a record. */
  readonly copies: number;
}

/**
 * This node's turn at a record that it has: 0 repairs first. Those who should have had it before,
 * and are there, take turns; that some of them may be missing a copy is why there are later ranks.
 * Whoever has a copy without belonging to the home steps in only when nobody of the home is left:
 * after a repair that is everybody who was just given one.
 * @returns undefined when the change does not touch the record's home, or it is others' turn alone.
 */
export function turnAt(
  key: Uint8Array,
  { changed, before }: RepairPass,
  { self, present, copies }: Surroundings,
): number | undefined {
  const after = nearest(key, [...new Set([self, ...before, ...changed])], copies);
  if (!after.some((peer) => changed.has(peer))) return undefined;
  const holders = nearest(key, [self, ...before], copies).filter(
    (peer) => peer === self || (present.has(peer) && !changed.has(peer)),
  );
  if (holders.length === 0) return 0;
  const rank = byRank(key, holders).indexOf(self);
  return rank >= 0 ? rank : undefined;
}
