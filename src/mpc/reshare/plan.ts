/**
 * From an operator's wish to the next epoch's proposal: who deals, who watches, who is left out.
 * Pure.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { compareText } from '../../base/bytes.ts';
import { BzzzError } from '../../base/errors.ts';
import { tooFewHolders } from '../too-few.ts';
import type { KeyInfo, Party, ReshareProposal } from '../types.ts';
import { nextRequesters } from './rules.ts';

/** The part of a proposal that follows from the key and the wish. */
export type Succession = Pick<
  ReshareProposal,
  'threshold' | 'parties' | 'dealers' | 'witnesses' | 'removed' | 'requesters'
>;

/**
 * @param present whether a holder can take part now.
 * @param unfit holders that must not deal: they were proven to have dealt badly.
 * @throws INSUFFICIENT_PARTIES when too few can deal; INVALID_THRESHOLD.
 */
export function planSuccession(
  key: KeyInfo,
  wish: { readonly threshold: number; readonly parties: readonly Party[] },
  present: (peer: PeerId) => boolean,
  unfit: ReadonlySet<PeerId> = new Set(),
): Succession {
  const { threshold, parties } = wish;
  if (!Number.isInteger(threshold) || threshold < 2 || threshold > parties.length) {
    throw new BzzzError('INVALID_THRESHOLD', `threshold ${threshold} of ${parties.length} parties`);
  }
  const next = new Set(parties.map(({ peerId }) => peerId));
  const holders = key.parties.map(({ peerId }) => peerId).sort(compareText);
  const leaving = holders.filter((peer) => !next.has(peer));
  const witnesses = leaving.filter(present);
  const removed = leaving.filter((peer) => !present(peer));
  const able = holders.filter((peer) => present(peer) && !unfit.has(peer));
  if (able.length < key.threshold) {
    throw tooFewHolders(`${able.length} of ${key.threshold} can deal`, {
      why: `key ${key.name} is handed on by ${key.threshold} of its holders`,
      ...{ need: key.threshold, have: able.length },
      missing: holders.filter((peer) => !able.includes(peer)),
    });
  }
  const dealers = able.slice(0, key.threshold);
  const requesters = nextRequesters(key, parties);
  return { threshold, parties, dealers, witnesses, removed, requesters };
}
