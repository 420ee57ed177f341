/**
 * What the chain amounts to, and the rules that a change must keep. Pure.
 *
 * | change  | allowed when                                                                  |
 * | ------- | ----------------------------------------------------------------------------- |
 * | admit   | not a member, room for one more, its invitation was never used                |
 * | remove  | a member, and not the last voter                                              |
 * | promote | a persistent member that is no voter and did not opt out, room for one voter   |
 * | demote  | a voter, and not the last one                                                 |
 * | recover | never proposed; names persistent members, no more than may vote               |
 *
 * A removed peer may be admitted again, with a new invitation.
 * @module
 */
import type { Epoch, PeerId } from '../base/brands.ts';
import { compareText, toHex } from '../base/bytes.ts';
import { BzzzError } from '../base/errors.ts';
import type { Change, RecoverChange } from './entry.ts';
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
  /** Epochs at which an operator replaced the voters, oldest first. */
  readonly recoveries: readonly Epoch[];
}

/** A copy that one batch of entries changes in place; nobody else sees it before it is done. */
export interface Draft {
  readonly members: Map<PeerId, Member>;
  voters: readonly PeerId[];
  readonly removed: Map<PeerId, Epoch>;
  readonly issuers: Set<PeerId>;
  readonly invitations: Map<string, PeerId>;
  recoveries: readonly Epoch[];
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
    recoveries: [],
  };
}

export const draftOf = (from: Membership): Draft => ({
  members: new Map(from.members),
  voters: from.voters,
  removed: new Map(from.removed),
  issuers: new Set(from.issuers),
  invitations: new Map(from.invitations),
  recoveries: from.recoveries,
});

/**
 * Whether a change may be proposed, and stand in an entry that the voters certify.
 * @throws CONFLICT: already so. NOT_FOUND: no such member. INVITATION_USED. REFUSED_BY_POLICY: the
 * last voter, a full roster, a member that cannot vote, a recovery. Nothing was changed then.
 */
export function checkChange(
  state: Membership,
  policy: Policy,
  change: Change,
  invitationId: Uint8Array | undefined,
): void {
  if (change.kind === 'recover') {
    throw new BzzzError('REFUSED_BY_POLICY', 'a recovery is not for the voters to certify', {
      hint: 'run `bzzz roster recover --voters P,...` on each host that is left',
    });
  }
  const member = state.members.get(change.peer);
  if (change.kind === 'admit') {
    checkAdmit(state, policy, change.peer, invitationId);
  } else if (member === undefined) {
    throw notMember(state, change.peer);
  } else if (change.kind === 'promote') {
    checkPromote(state, policy, member);
  } else if (change.kind === 'demote' && !member.voter) {
    throw new BzzzError('CONFLICT', `${change.peer} is not a voter`, { hint: NOTHING_TO_DO });
  } else if (member.voter && state.voters.length === 1) {
    throw lastVoter(change);
  }
}

/**
 * Whether the voters that a recovery names may vote. An opt-out does not count: the operator names
 * them.
 * @throws NOT_FOUND: one is no member. REFUSED_BY_POLICY: one is not persistent, or they are more
 * than may vote.
 */
export function checkRecover(state: Membership, policy: Policy, change: RecoverChange): void {
  for (const peer of change.voters) {
    const member = state.members.get(peer);
    if (member === undefined) throw notMember(state, peer);
    if (member.role !== 'persistent') {
      throw new BzzzError('REFUSED_BY_POLICY', `${peer} is ${member.role}`, {
        hint: 'only persistent members vote; name others',
      });
    }
  }
  if (change.voters.length > policy.maxVoters) {
    throw new BzzzError('REFUSED_BY_POLICY', `${change.voters.length} voters are too many`, {
      why: `at most ${policy.maxVoters} may vote`,
      hint: 'name fewer, best an odd number',
    });
  }
}

/** Applies a change that {@link checkChange} or {@link checkRecover} let pass. */
export function applyChange(
  draft: Draft,
  epoch: Epoch,
  change: Change,
  invitationId: Uint8Array | undefined,
): void {
  if (change.kind === 'recover') {
    applyRecover(draft, epoch, change);
    return;
  }
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

/** All others lose the vote and stay members. */
function applyRecover(draft: Draft, epoch: Epoch, change: RecoverChange): void {
  for (const [peer, member] of draft.members) {
    const voter = change.voters.includes(peer);
    if (member.voter !== voter) draft.members.set(peer, { ...member, voter });
    if (voter) draft.issuers.add(peer);
  }
  draft.voters = [...change.voters];
  draft.recoveries = [...draft.recoveries, epoch];
}

function notMember(state: Membership, peer: PeerId): BzzzError {
  const epoch = state.removed.get(peer);
  const why = epoch === undefined ? 'it never was' : `it was removed in epoch ${epoch}`;
  return new BzzzError('NOT_FOUND', `${peer} is not a member`, {
    why,
    hint: '`bzzz roster` lists the members',
  });
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

function lastVoter(change: Extract<Change, { kind: 'remove' | 'demote' }>): BzzzError {
  const verb = change.kind === 'demote' ? 'demoted' : 'removed';
  return new BzzzError('REFUSED_BY_POLICY', `${change.peer} cannot be ${verb}`, {
    why: 'it is the only voter: without it nobody could admit or remove a host again',
    hint: 'keep this host, or begin a new cluster without it with `bzzz init` and `bzzz join`',
  });
}
