/**
 * What a voter decides on a request to join or to leave. Pure; time and the book's knowledge come
 * as arguments. First line that fits wins:
 *
 * | join                                          | verdict                       |
 * | --------------------------------------------- | ----------------------------- |
 * | issuer is no member, or never was a voter     | INVALID_INVITATION            |
 * | used by this peer, which is a member          | already                       |
 * | used                                          | INVITATION_USED               |
 * | revoked                                       | INVITATION_REVOKED            |
 * | past its time by this voter's clock           | INVITATION_EXPIRED            |
 * | its issuer knows nothing of it (an old backup) | INVALID_INVITATION           |
 * | its issuer cannot be asked                    | PEER_UNREACHABLE, not final   |
 * | otherwise                                     | admit (the chain's rules follow) |
 *
 * Used comes before expired: a host whose first answer was lost may ask again at any time.
 * @module
 */
import type { Epoch } from '../base/brands.ts';
import { toHex } from '../base/bytes.ts';
import { BzzzError } from '../base/errors.ts';
import type { Chain } from './chain.ts';
import type { Change } from './entry.ts';
import type { TokenStanding } from './invitation-wire.ts';
import type { JoinPetition, LeavePetition } from './join-wire.ts';

export type Ruling =
  | { readonly kind: 'already'; readonly epoch: Epoch }
  | { readonly kind: 'change'; readonly change: Change; readonly invitationId?: Uint8Array };

export interface JoinContext {
  /** Wall clock in ms of the voter that decides. */
  readonly nowMs: number;
  /** What the issuer's book says; `silent` when the issuer, another host, does not answer. */
  readonly book: TokenStanding | 'silent';
}

/** @throws the refusals of the table. */
export function judgeJoin(chain: Chain, petition: JoinPetition, context: JoinContext): Ruling {
  const { members, issuers, invitations } = chain.membership;
  const { token, issuer, peer, name } = petition;
  if (!issuers.has(issuer)) {
    throw new BzzzError('INVALID_INVITATION', 'the invitation was not issued by a voter', {
      why: `${issuer} sealed it`,
      hint: 'ask a voter for a new invitation',
    });
  }
  const usedBy = invitations.get(toHex(token.id));
  const member = members.get(peer);
  if (usedBy === peer && member !== undefined) return { kind: 'already', epoch: member.since };
  if (usedBy !== undefined) {
    throw new BzzzError('INVITATION_USED', 'the invitation was used already', {
      why: usedBy === peer ? 'by this host, which was removed since' : `it admitted ${usedBy}`,
    });
  }
  if (context.book === 'revoked') {
    throw new BzzzError('INVITATION_REVOKED', 'the invitation was revoked');
  }
  if (context.nowMs > token.expiresAt) {
    const [end, now] = [token.expiresAt, context.nowMs].map((ms) => new Date(ms).toISOString());
    throw new BzzzError('INVITATION_EXPIRED', 'the invitation has expired', {
      why: `at ${end}; the voter's clock says ${now}`,
    });
  }
  if (context.book === 'unknown') {
    throw new BzzzError('INVALID_INVITATION', 'the voter that issued it has no record of it', {
      why: 'its data directory may have been restored from an older backup',
      hint: 'ask for a new invitation',
    });
  }
  if (context.book === 'silent') {
    throw new BzzzError('PEER_UNREACHABLE', 'the host that issued the invitation does not answer', {
      why: `only ${issuer} knows whether it was revoked`,
      hint: 'start the daemon of that host, or ask another voter for a new invitation',
    });
  }
  const { role, noVoter, id: invitationId } = token;
  const change = { kind: 'admit', peer, role, noVoter } as const;
  return {
    kind: 'change',
    change: name === undefined ? change : { ...change, name },
    invitationId,
  };
}

/** @throws NOT_A_MEMBER; CONFLICT: a request from an earlier membership. */
export function judgeLeave(chain: Chain, petition: LeavePetition): Ruling {
  const { peer, since } = petition;
  const member = chain.membership.members.get(peer);
  const removedIn = chain.membership.removed.get(peer);
  if (member === undefined && removedIn !== undefined) return { kind: 'already', epoch: removedIn };
  if (member === undefined) throw new BzzzError('NOT_A_MEMBER', `${peer} is not a member`);
  if (member.since !== since) {
    throw new BzzzError('CONFLICT', 'the request to leave is from an earlier membership', {
      why: `it names epoch ${since}, this membership began in epoch ${member.since}`,
    });
  }
  return { kind: 'change', change: { kind: 'remove', peer, reason: 'left' } };
}
