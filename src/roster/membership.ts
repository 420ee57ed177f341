/**
 * What the chain amounts to, and the rules that a change must keep. Pure.
 *
 * | change  | allowed when                                                                  |
 * | ------- | ----------------------------------------------------------------------------- |
 * | admit   | not a member, room for one more, its invitation was never used                |
 * | remove  | a member, and not the last voter                                              |
 * | promote | a persistent member that is no voter and did not opt out, room for one voter   |
 * | demote  | a voter, and not the last one                                                 |
 *
 * A removed peer may be admitted again, with a new invitation.
 * @module
 */
import type { Epoch, PeerId } from '../base/brands.ts';
import { compareText, toHex } from '../base/bytes.ts';
import { BzzzError } from '../base/errors.ts';
import type { Change } from './entry.ts';
import type { Genesis, Policy } from './genesis.ts';
import type { Member } from './types.ts';

export interface Membership {
  readonly members: ReadonlyMap<PeerId, Member>;
  /** Sorted by peer id. */
  readonly voters: readonly PeerId[];
  /** Peers that were members and are not; the epoch that removed them. */
  readonly removed: ReadonlyMap<PeerId, Epoch>;
  /** Members that are voters or were since they were last admitted: their invitations count. */
  readonly issuers: ReadonlySet<PeerId>;
  /** Used invitations by the hex of their id: whom each admitted. */
  readonly invitations: ReadonlyMap<string, PeerId>;
}

/** A copy that one batch of entries changes in place; nobody else sees it before it is done. */
export interface Draft {
  readonly members: Map<PeerId, Member>;
  voters: readonly PeerId[];
  readonly removed: Map<PeerId, Epoch>;
  readonly issuers: Set<PeerId>;
  readonly invitations: Map<string, PeerId>;
}

/** What the genesis alone amounts to: the founder, who votes. */
export function membershipOf(genesis: Genesis): Membership {
  const founder: Member = {
    peerId: genesis.founder,
    role: 'persistent',
    voter: true,
    noVoter: false,
    since: 0 as Epoch,
    ...(genesis.founderName === undefined ? {} : { name: genesis.founderName }),
  };
  return {
    members: new Map([[founder.peerId, founder]]),
    voters: [founder.peerId],
    removed: new Map(),
    issuers: new Set([founder.peerId]),
    invitations: new Map(),
  };
}

export const draftOf = (from: Membership): Draft => ({
  members: new Map(from.members),
  voters: from.voters,
  removed: new Map(from.removed),
  issuers: new Set(from.issuers),
  invitations: new Map(from.invitations),
});

/**
 * @throws CONFLICT: already so. NOT_FOUND: no such member. INVITATION_USED. REFUSED_BY_POLICY: the
 * last voter, a full roster, a member that cannot vote. Nothing was changed then.
 */
export function checkChange(
  state: Membership,
  policy: Policy,
  change: Change,
  invitationId: Uint8Array | undefined,
): void {
  const member = state.members.get(change.peer);
  if (change.kind === 'admit') {
    checkAdmit(state, policy, change.peer, invitationId);
  } else if (member === undefined) {
    const epoch = state.removed.get(change.peer);
    const why = epoch === undefined ? 'it never was' : `it was removed in epoch ${epoch}`;
    throw new BzzzError('NOT_FOUND', `${change.peer} is not a member`, {
      why,
      hint: '`bzzz roster` lists the members',
    });
  } else if (change.kind === 'promote') {
    checkPromote(state, policy, member);
  } else if (change.kind === 'demote' && !member.voter) {
    throw new BzzzError('CONFLICT', `${change.peer} is not a voter`, { hint: NOTHING_TO_DO });
  } else if (member.voter && state.voters.length === 1) {
    throw lastVoter(change);
  }
}

/** Applies a change that {@link checkChange} let pass. */
export function applyChange(
  draft: Draft,
  epoch: Epoch,
  change: Change,
  invitationId: Uint8Array | undefined,
): void {
  const { peer } = change;
  if (change.kind === 'admit') {
    const { role, noVoter, name } = change;
    const member: Member = { peerId: peer, role, voter: false, noVoter, since: epoch };
    draft.members.set(peer, name === undefined ? member : { ...member, name });
    draft.removed.delete(peer);
    if (invitationId !== undefined) draft.invitations.set(toHex(invitationId), peer);
  } else if (change.kind === 'remove') {
    draft.members.delete(peer);
    draft.removed.set(peer, epoch);
    draft.issuers.delete(peer);
    draft.voters = draft.voters.filter((voter) => voter !== peer);
  } else {
    const voter = change.kind === 'promote';
    const member = draft.members.get(peer);
    if (member !== undefined) draft.members.set(peer, { ...member, voter });
    const others = draft.voters.filter((other) => other !== peer);
    draft.voters = voter ? [...others, peer].sort(compareText) : others;
    if (voter) draft.issuers.add(peer);
  }
}

const NOTHING_TO_DO = 'nothing to do; `bzzz roster` shows the roster';

function checkAdmit(
  state: Membership,
  policy: Policy,
  peer: PeerId,
  invitationId: Uint8Array | undefined,
): void {
  const usedBy = invitationId && state.invitations.get(toHex(invitationId));
  if (usedBy !== undefined) {
    throw new BzzzError('INVITATION_USED', 'the invitation was used already', {
      why: `it admitted ${usedBy}`,
    });
  }
  if (state.members.has(peer)) {
    throw new BzzzError('CONFLICT', `${peer} is a member already`, { hint: NOTHING_TO_DO });
  }
  if (state.members.size >= policy.maxMembers) {
    throw new BzzzError('REFUSED_BY_POLICY', `the roster is full: ${policy.maxMembers} members`, {
      hint: 'remove a member that is gone: `bzzz roster remove PEER`',
    });
  }
}

function checkPromote(state: Membership, policy: Policy, member: Member): void {
  const refuse = (message: string, hint: string): never => {
    throw new BzzzError('REFUSED_BY_POLICY', message, { hint });
  };
  if (member.voter) {
    throw new BzzzError('CONFLICT', `${member.peerId} is a voter`, { hint: NOTHING_TO_DO });
  }
  if (member.role !== 'persistent') {
    refuse(`${member.peerId} is ${member.role}`, 'only persistent members vote');
  }
  if (member.noVoter) {
    refuse(`${member.peerId} was invited with --no-voter`, 'promote another member');
  }
  if (state.voters.length >= policy.maxVoters) {
    refuse(`there are ${policy.maxVoters} voters`, 'demote one first');
  }
}

function lastVoter(change: Change): BzzzError {
  const verb = change.kind === 'demote' ? 'demoted' : 'removed';
  return new BzzzError('REFUSED_BY_POLICY', `${change.peer} cannot be ${verb}`, {
    why: 'it is the only voter: without it nobody could admit or remove a host again',
    hint: 'keep this host, or begin a new cluster without it with `bzzz init` and `bzzz join`',
  });
}
