/**
 * When a key may be handed on, and what its next epoch must look like. Every party asks for itself:
 * the proposer's node may have been taken over.
 *
 * - Who asks: a holder or a requester of the key. A plain refresh, which gives nothing to anybody,
 *   any member may ask for.
 * - Who agrees: every holder that the proposal does not name as removed. They are more than half of
 *   the holders that are members, so that two changes of one epoch share a holder, who agrees to
 *   one of them only: an epoch has one certificate, also through a partition.
 * - What stays: key, suite, purpose, policy; and the requesters, unless they were the holders.
 *
 * Pure; what it needs of the world comes as plain values.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { compareText, equalBytes } from '../../base/bytes.ts';
import { BzzzError } from '../../base/errors.ts';
import type { RosterView } from '../../roster/types.ts';
import type { KeyInfo, Party, ReshareProposal } from '../types.ts';

const refuse = (message: string, rule: string): never => {
  throw new BzzzError('REFUSED_BY_POLICY', message, { details: { rule } });
};

const peersOf = (parties: readonly Party[]): readonly PeerId[] =>
  parties.map(({ peerId }) => peerId);

const sorted = (peers: readonly PeerId[]): readonly PeerId[] => [...peers].sort(compareText);

const sameList = (a: readonly PeerId[], b: readonly PeerId[]): boolean =>
  a.length === b.length && a.every((peer, i) => peer === b[i]);

/** Whether nothing but the shares changes. */
export const isRefresh = (
  { threshold, parties, removed }: Pick<ReshareProposal, 'threshold' | 'parties' | 'removed'>,
  key: KeyInfo,
): boolean =>
  threshold === key.threshold &&
  removed.length === 0 &&
  sameList(peersOf(parties), peersOf(key.parties));

/** Requesters that were the holders go with the share; others stay. */
export const nextRequesters = (key: KeyInfo, parties: readonly Party[]): readonly PeerId[] =>
  sameList(key.requesters, sorted(peersOf(key.parties)))
    ? sorted(peersOf(parties))
    : key.requesters;

/** @throws STALE_EPOCH unless `epoch` is the key's newest. */
export function checkEpoch(key: KeyInfo, epoch: number): void {
  if (epoch === key.epoch) return;
  const newer = epoch < key.epoch;
  throw new BzzzError(
    newer ? 'STALE_EPOCH' : 'NOT_FOUND',
    newer
      ? `key ${key.name} is in epoch ${key.epoch}, not ${epoch}`
      : `epoch ${epoch} of key ${key.name} is not known on this node`,
    { details: { keyId: key.keyId, epoch: key.epoch } },
  );
}

/**
 * @param key in its newest epoch that is known here; `hash` of its certificate.
 * @throws STALE_EPOCH, NOT_FOUND; REFUSED_BY_POLICY, NOT_A_MEMBER, NOT_SUPPORTED; BAD_MESSAGE when
 * the proposal contradicts the certificate.
 */
export function checkReshare(
  proposal: ReshareProposal,
  { key, hash }: { readonly key: KeyInfo; readonly hash: Uint8Array },
  roster: Pick<RosterView, 'members'>,
): void {
  checkEpoch(key, proposal.keyEpoch);
  const holders = peersOf(key.parties);
  const wrong = (what: string): never => {
    throw new BzzzError('BAD_MESSAGE', `handing on key ${key.name}: ${what}`);
  };
  if (proposal.keyId !== key.keyId || proposal.suite !== key.suite) wrong('another key');
  if (!equalBytes(proposal.previous, hash)) wrong('another certificate of this epoch');
  const { proposer, dealers, witnesses, removed, parties } = proposal;
  if (dealers.length !== key.threshold || dealers.some((peer) => !holders.includes(peer))) {
    wrong('its dealers are not threshold-many holders');
  }
  const placed = [...peersOf(parties), ...witnesses, ...removed];
  if (holders.some((peer) => !placed.includes(peer))) wrong('a holder is not named');
  if ([...witnesses, ...removed].some((peer) => !holders.includes(peer))) wrong('no holder');
  if (!sameList(proposal.requesters, nextRequesters(key, parties))) wrong('other requesters');
  const mayAsk = holders.includes(proposer) || key.requesters.includes(proposer);
  if (!mayAsk && !isRefresh(proposal, key)) {
    refuse(`${proposer} may not hand on key ${key.name}`, 'requester');
  }
  if (key.policy === 'approve' && !isRefresh(proposal, key)) {
    throw new BzzzError('NOT_SUPPORTED', `key ${key.name} wants approval: it is only refreshed`, {
      why: 'a change of holders would need the word of each of their operators',
      hint: 'make a new key',
    });
  }
  checkQuorum(key, removed, roster);
  for (const party of parties) checkParty(party, roster);
}

/** @throws REFUSED_BY_POLICY when too few of the holders that are members take part. */
export function checkQuorum(
  { name, parties }: KeyInfo,
  removed: readonly PeerId[],
  { members }: Pick<RosterView, 'members'>,
): void {
  const present = peersOf(parties).filter((peer) => members.has(peer));
  const asked = present.filter((peer) => !removed.includes(peer));
  if (2 * asked.length > present.length) return;
  throw new BzzzError(
    'REFUSED_BY_POLICY',
    `${asked.length} of ${present.length} holders of key ${name} take part`,
    {
      why: 'without a majority of them two changes at once could both be certified',
      hint: 'start the holders that are away, or `bzzz roster remove` those that are gone for good',
      details: { rule: 'majority' },
    },
  );
}

function checkParty({ peerId, role }: Party, { members }: Pick<RosterView, 'members'>): void {
  const member = members.get(peerId);
  if (member === undefined) {
    throw new BzzzError('NOT_A_MEMBER', `party ${peerId} is not a member`);
  }
  if (member.role !== role) refuse(`party ${peerId} is ${member.role}, not ${role}`, 'role');
  if (role !== 'persistent') {
    throw new BzzzError('NOT_SUPPORTED', `party ${peerId}: a ${role} takes part in no change`, {
      hint: 'make a new key',
    });
  }
}
