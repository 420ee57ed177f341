/**
 * Which members become the parties of a new key.
 *
 * Rendezvous hashing (Thaler and Ravishankar, 1998) spreads keys evenly over the eligible members.
 * The ranking is the proposer's convenience: parties check that the rules hold, not the ranking.
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import { compareBytes, compareText, taggedHash, utf8Bytes } from '../base/bytes.ts';
import { BzzzError } from '../base/errors.ts';
import type { Composition } from './composition.ts';
import { type AnnouncedParty, type PartyPool, unfitness } from './pool.ts';
import type { Party } from './types.ts';

/** A shortage, by role, with who was passed over and why. */
function tooFew(need: number, have: number, passed: readonly (readonly [string, string])[]): never {
  throw new BzzzError(
    'INSUFFICIENT_PERSISTENT_PARTIES',
    `${need} persistent parties needed, ${have} available`,
    {
      ...(passed.length === 0
        ? {}
        : { why: passed.map(([peer, reason]) => `${peer}: ${reason}`).join('; ') }),
      details: {
        need,
        have,
        byRole: { persistent: { need, have } },
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
 * @throws INSUFFICIENT_PERSISTENT_PARTIES with details {need, have, byRole, passedOver}.
 */
export function selectParties(
  { parties }: Composition,
  suite: string,
  pool: PartyPool,
  seed: Uint8Array,
): readonly Party[] {
  const weigh = (peer: PeerId): Uint8Array => taggedHash('bzzz/select/1', seed, utf8Bytes(peer));
  const eligible = pool.eligible(suite);
  if (eligible.length < parties) {
    const passed = pool.list().flatMap((party) => {
      const reason = unfitness(party, suite);
      return reason === undefined ? [] : [[party.peerId, reason] as const];
    });
    tooFew(parties, eligible.length, passed);
  }
  const ranked = eligible
    .map((party) => ({ party, weight: weigh(party.peerId) }))
    .sort((a, b) => compareBytes(b.weight, a.weight));
  return numbered(ranked.slice(0, parties).map(({ party }) => party));
}

/**
 * Checks parties that the operator named.
 * @param isMember whether the roster has this peer.
 * @throws BAD_REQUEST for one named twice; NOT_A_MEMBER; INVALID_COMPOSITION for an observer;
 * NOT_SUPPORTED for another role; INSUFFICIENT_PERSISTENT_PARTIES for members that are not
 * available now.
 */
export function checkParticipants(
  participants: readonly string[],
  suite: string,
  pool: PartyPool,
  isMember: (peer: string) => boolean,
): readonly Party[] {
  const known = new Map<string, AnnouncedParty>(pool.list().map((party) => [party.peerId, party]));
  const chosen: AnnouncedParty[] = [];
  const passed: (readonly [string, string])[] = [];
  if (new Set(participants).size !== participants.length) {
    throw new BzzzError('BAD_REQUEST', 'participants: a peer is named twice');
  }
  for (const peer of participants) {
    if (!isMember(peer)) {
      throw new BzzzError('NOT_A_MEMBER', `participant ${peer} is not a member`, {
        hint: '`bzzz roster` lists the members',
      });
    }
    const party = known.get(peer);
    if (party?.role === 'observer') {
      throw new BzzzError('INVALID_COMPOSITION', `${peer} is an observer: it holds no share`);
    }
    if (party !== undefined && party.role !== 'persistent') {
      throw new BzzzError('NOT_SUPPORTED', `${peer} has role ${party.role}: this follows later`);
    }
    const reason = party === undefined ? 'not heard of' : unfitness(party, suite);
    if (party === undefined || reason !== undefined) passed.push([peer, reason ?? '']);
    else chosen.push(party);
  }
  if (passed.length > 0) tooFew(participants.length, chosen.length, passed);
  return numbered(chosen);
}
