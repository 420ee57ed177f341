/**
 * Which members become the parties of a new key.
 *
 * Rendezvous hashing spreads keys evenly over the eligible members.
 * The ranking is the proposer's convenience: parties check that the rules hold, not the ranking.
 * @module
 */
import { compareText } from '../base/bytes.ts';
import { BzzzError } from '../base/errors.ts';
import { type Ranking, rankPeers } from '../base/rendezvous.ts';
import type { Role } from '../roster/types.ts';
import type { Composition } from './composition.ts';
import { type AnnouncedParty, type PartyPool, unfitness } from './pool.ts';
import type { Party } from './types.ts';

const PARTIES: Ranking = { tag: 'bzzz/select/1', first: 'greatest' };

/** A shortage, by role, with who was passed over and why. */
function tooFew(
  need: number,
  have: number,
  passed: readonly (readonly [string, string])[],
  role: Role = 'persistent',
): never {
  throw new BzzzError(
    role === 'persistent' ? 'INSUFFICIENT_PERSISTENT_PARTIES' : 'INSUFFICIENT_PARTIES',
    `${need} ${role} parties needed, ${have} available`,
    {
      ...(passed.length === 0
        ? {}
        : { why: passed.map(([peer, reason]) => `${peer}: ${reason}`).join('; ') }),
      details: {
        need,
        have,
        byRole: { [role]: { need, have } },
        passedOver: passed.map(([peerId, reason]) => ({ peerId, reason })),
      },
    },
  );
}

/** Indices follow the order of peer ids, so one set of parties has one numbering. */
const numbered = (parties: readonly AnnouncedParty[]): readonly Party[] =>
  [...parties]
    .sort((a, b) => compareText(a.peerId, b.peerId))
    .map(({ peerId, role }, i) => ({ peerId, index: i + 1, role }));

/**
 * Ranks the eligible members by a hash of seed and peer, and takes the first.
 * @param seed fresh bytes of the proposal: each key draws anew.
 * No role stands in for another (R36, R40).
 * @throws INSUFFICIENT_PERSISTENT_PARTIES, or INSUFFICIENT_PARTIES for another role, with details
 * {need, have, byRole, passedOver}.
 */
export function selectParties(
  { byRole }: Composition,
  suite: string,
  pool: PartyPool,
  seed: Uint8Array,
): readonly Party[] {
  const chosen = [...byRole].flatMap(([role, count]) => {
    const eligible = pool.eligible(suite, role);
    if (eligible.length < count) {
      const passed = pool.list().flatMap((party) => {
        const reason = unfitness(party, suite, role);
        return reason === undefined ? [] : [[party.peerId, reason] as const];
      });
      tooFew(count, eligible.length, passed, role);
    }
    const ids = eligible.map(({ peerId }) => peerId);
    const first = new Set(rankPeers(PARTIES, seed, ids).slice(0, count));
    return eligible.filter(({ peerId }) => first.has(peerId));
  });
  return numbered(chosen);
}

/** @param what the peer is to be. @throws NOT_A_MEMBER. */
export function checkMember(what: string, peer: string, isMember: (peer: string) => boolean): void {
  if (isMember(peer)) return;
  throw new BzzzError('NOT_A_MEMBER', `${what} ${peer} is not a member`, {
    hint: '`bzzz roster` lists the members',
  });
}

const PERSISTENT: ReadonlyMap<Role, number> = new Map();

/**
 * Checks parties that the operator named.
 * @param isMember whether the roster has this peer.
 * @param byRole how many of which role; without it all are persistent (R36).
 * @throws BAD_REQUEST for one named twice; NOT_A_MEMBER; INVALID_COMPOSITION for an observer, or
 * for roles other than asked for; INSUFFICIENT_PERSISTENT_PARTIES for members that are not
 * available now.
 */
export function checkParticipants(
  participants: readonly string[],
  suite: string,
  pool: PartyPool,
  isMember: (peer: string) => boolean,
  byRole: ReadonlyMap<Role, number> = PERSISTENT,
): readonly Party[] {
  const known = new Map<string, AnnouncedParty>(pool.list().map((party) => [party.peerId, party]));
  const chosen: AnnouncedParty[] = [];
  const passed: (readonly [string, string])[] = [];
  if (new Set(participants).size !== participants.length) {
    throw new BzzzError('BAD_REQUEST', 'participants: a peer is named twice');
  }
  for (const peer of participants) {
    checkMember('participant', peer, isMember);
    const party = known.get(peer);
    if (party?.role === 'observer') {
      throw new BzzzError('INVALID_COMPOSITION', `${peer} is an observer: it holds no share`);
    }
    const role = party?.role ?? 'persistent';
    if (role !== 'persistent' && !byRole.has(role)) {
      throw new BzzzError('INVALID_COMPOSITION', `${peer} is a ${role}, and none was asked for`, {
        hint: `name the roles: --role persistent=N --role ${role}=1`,
      });
    }
    const reason = party === undefined ? 'not heard of' : unfitness(party, suite, role);
    if (party === undefined || reason !== undefined) passed.push([peer, reason ?? '']);
    else chosen.push(party);
  }
  if (passed.length > 0) tooFew(participants.length, chosen.length, passed);
  for (const [role, count] of byRole) {
    const have = chosen.filter((party) => party.role === role).length;
    if (have === count) continue;
    throw new BzzzError('INVALID_COMPOSITION', `${have} ${role} participants, not ${count}`);
  }
  return numbered(chosen);
}
