/**
 * A key whose parties are still being gathered, because discovery itself fails. Name, suite,
 * threshold and roles are fixed; who takes the seats is open. Pure.
 *
 * | open, and       | input                        | then                                        |
 * | --------------- | ---------------------------- | ------------------------------------------- |
 * | role wanted     | a member joins               | it has a seat, or is a spare                |
 * | it has a seat   | it joins again               | as before                                   |
 * | role not wanted | a member joins               | refused: INVALID_COMPOSITION                |
 * | -               | a stranger joins             | refused: NOT_A_MEMBER                       |
 * | -               | enough of each role eligible | complete: seats first, then whoever is near |
 * | -               | deadline, client gone, drain | ended                                       |
 *
 * More may join than are needed: one that joined may be gone before the others are there.
 * A host that joins connects first, and by that alone may complete the gathering: a party that asks
 * after that has its seat. Everybody else is refused with SESSION_EXPIRED once it is over.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { compareText } from '../../base/bytes.ts';
import { BzzzError } from '../../base/errors.ts';
import type { Role } from '../../roster/types.ts';

/** So many parties of which role. */
export type Counts = ReadonlyMap<Role, number>;

/** Members that could be parties now, by role. */
export type Eligible = ReadonlyMap<Role, readonly PeerId[]>;

export interface Gathering {
  readonly phase: 'open' | 'complete' | 'ended';
  readonly byRole: Counts;
  /** The proposer if it is to be a party, and who joined by token; once complete, the parties. */
  readonly seats: ReadonlyMap<PeerId, Role>;
}

export type EndReason = 'deadline' | 'gone' | 'draining';

export type GatheringInput =
  | { readonly type: 'join'; readonly peer: PeerId; readonly role: Role | undefined }
  | { readonly type: 'look'; readonly eligible: Eligible }
  | { readonly type: 'end'; readonly reason: EndReason };

export type GatheringEffect =
  | { readonly type: 'seated' }
  | { readonly type: 'refuse'; readonly error: BzzzError }
  | { readonly type: 'complete'; readonly parties: ReadonlySet<PeerId> }
  | { readonly type: 'ended'; readonly reason: EndReason };

interface Step {
  readonly state: Gathering;
  readonly effects: readonly GatheringEffect[];
}

export const newGathering = (byRole: Counts, seats: Gathering['seats']): Gathering => ({
  ...{ phase: 'open', byRole, seats },
});

/** One step; see the table above. */
export function stepGathering(state: Gathering, input: GatheringInput): Step {
  if (state.phase !== 'open') {
    if (input.type !== 'join') return { state, effects: [] };
    const isParty = state.phase === 'complete' && state.seats.has(input.peer);
    return isParty ? { state, effects: [{ type: 'seated' }] } : refuse(state, over());
  }
  if (input.type === 'join') return join(state, input.peer, input.role);
  if (input.type === 'look') return look(state, input.eligible);
  const { reason } = input;
  return { state: { ...state, phase: 'ended' }, effects: [{ type: 'ended', reason }] };
}

function join(state: Gathering, peer: PeerId, role: Role | undefined): Step {
  const { seats, byRole } = state;
  if (role === undefined) {
    return refuse(state, new BzzzError('NOT_A_MEMBER', `${peer} is no member`));
  }
  if (seats.has(peer)) return { state, effects: [{ type: 'seated' }] };
  if (!byRole.has(role)) {
    const message = `the key is to have no ${role} party`;
    return refuse(state, new BzzzError('INVALID_COMPOSITION', message, { hint: USE_ANOTHER }));
  }
  const next = { ...state, seats: new Map([...seats, [peer, role]]) };
  return { state: next, effects: [{ type: 'seated' }] };
}

function look(state: Gathering, eligible: Eligible): Step {
  const { byRole, seats } = state;
  const chosen = new Map<PeerId, Role>();
  for (const [role, count] of byRole) {
    const able = [...(eligible.get(role) ?? [])].sort(
      (a, b) => Number(seats.has(b)) - Number(seats.has(a)) || compareText(a, b),
    );
    if (able.length < count) return { state, effects: [] };
    for (const peer of able.slice(0, count)) chosen.set(peer, role);
  }
  const next: Gathering = { ...state, phase: 'complete', seats: chosen };
  return { state: next, effects: [{ type: 'complete', parties: new Set(chosen.keys()) }] };
}

/** How many parties there are to be, and how many could be now. */
export function countGathered(
  byRole: Counts,
  eligible: Eligible,
): { readonly need: number; readonly have: number } {
  const rows = [...byRole].map(([role, count]) => ({
    need: count,
    have: Math.min(count, eligible.get(role)?.length ?? 0),
  }));
  const sum = (part: 'need' | 'have'): number => rows.reduce((all, row) => all + row[part], 0);
  return { need: sum('need'), have: sum('have') };
}

/** The gathering that a token names is none, or no more. */
export const over = (): BzzzError =>
  new BzzzError('SESSION_EXPIRED', 'nobody is gathered for this key any more', {
    hint: 'see `bzzz key ls`; a new `bzzz key create` prints a new token',
  });

const USE_ANOTHER = 'run the command on a host with another role; `bzzz roster` lists them';

const refuse = (state: Gathering, error: BzzzError): Step => ({
  state,
  effects: [{ type: 'refuse', error }],
});
