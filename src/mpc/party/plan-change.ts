/**
 * Plans for what becomes of a key: its next epoch, and a share that was lost.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { BzzzError } from '../../base/errors.ts';
import type { KeyEntry } from '../keys/keyring.ts';
import { planSuccession } from '../reshare/plan.ts';
import { checkParticipants } from '../selection.ts';
import { seatParties } from '../sessions/proposal.ts';
import { tooFewHolders } from '../too-few.ts';
import type { KeyInfo, Party, RepairProposal, ReshareProposal } from '../types.ts';
import { keyTerms, membership, type Plan, proposalHead, sealPlan } from './plan.ts';
import type { ChangeKeyRequest, PartyDeps, PartyOptions, RepairKeyRequest } from './ports.ts';
import { connectedPeers } from './presence.ts';

/**
 * Checks a request to hand a key on, and names who takes part.
 * @param unfit holders that must not deal.
 * @throws what `checkParticipants` and `planSuccession` throw; BAD_REQUEST for a time-out.
 */
export function planChange(
  request: ChangeKeyRequest,
  { key, hash }: KeyEntry,
  unfit: ReadonlySet<PeerId>,
  options: PartyOptions,
  deps: PartyDeps,
): Plan<ReshareProposal> {
  const { pool } = deps;
  const { participants, threshold = key.threshold } = request;
  const here = connectedPeers(deps);
  const member = membership(deps.roster());
  const parties =
    participants === undefined
      ? key.parties
      : checkParticipants(participants, key.suite, pool, member);
  const present = (peer: PeerId): boolean => here.has(peer) && member(peer);
  const absent = parties.filter(({ peerId }) => !present(peerId));
  if (absent.length > 0) {
    const missing = absent.map(({ peerId }) => peerId);
    const have = parties.length - absent.length;
    throw tooFewHolders(`${absent.length} holders are not connected`, {
      why: `every holder of the next epoch takes part; missing: ${missing.join(', ')}`,
      hint: 'start them; or hand the key to those that are there: `bzzz key reshare`',
      ...{ need: parties.length, have, missing },
    });
  }
  const proposal: ReshareProposal = {
    ...proposalHead(request.timeoutMs, options, deps),
    ...keyTerms(key),
    kind: 'reshare',
    previous: hash,
    ...planSuccession(key, { threshold, parties }, present, unfit),
  };
  return sealPlan(proposal, seatParties(proposal), null, deps);
}

/**
 * Chooses who helps: the holders that are connected, this node first, and last those that earlier
 * attempts failed with.
 * @param failures of earlier attempts, by holder.
 * @throws NOT_FOUND when the peer holds no share; INSUFFICIENT_PARTIES.
 */
export function planRepair(
  request: RepairKeyRequest,
  key: KeyInfo,
  failures: ReadonlyMap<PeerId, number>,
  options: PartyOptions,
  deps: PartyDeps,
): Plan<RepairProposal> {
  const lost = key.parties.find(({ peerId }) => peerId === request.peer);
  if (lost === undefined) {
    throw new BzzzError('NOT_FOUND', `${request.peer} is no holder of key ${key.name}`, {
      hint: '`bzzz key show` lists the holders; `bzzz key reshare` changes them',
    });
  }
  const here = connectedPeers(deps);
  const able = key.parties.filter((party) => party !== lost && here.has(party.peerId));
  const need = key.threshold;
  if (able.length < need || !here.has(lost.peerId)) {
    const missing = key.parties.flatMap(({ peerId }) => (here.has(peerId) ? [] : [peerId]));
    throw tooFewHolders(`${able.length} of ${need} holders can help`, {
      why: `a share is rebuilt by ${need} others, for a holder that is connected`,
      ...{ need, have: able.length, missing },
    });
  }
  const { peerId: self } = deps.signer;
  const doubt = ({ peerId }: Party): number => (peerId === self ? -1 : (failures.get(peerId) ?? 0));
  const helpers = [...able].sort((a, b) => doubt(a) - doubt(b)).slice(0, need);
  const indices = helpers.map(({ index }) => index).sort((a, b) => a - b);
  const proposal: RepairProposal = {
    ...proposalHead(request.timeoutMs, options, deps),
    ...keyTerms(key),
    kind: 'repair',
    threshold: need,
    lost: lost.index,
    helpers: indices,
  };
  return sealPlan(proposal, [...helpers, lost], null, deps);
}
