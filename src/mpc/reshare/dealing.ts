/**
 * What a refresh or a reshare deals, as the machine of `keygen/` runs it: threshold-many holders of
 * the old epoch deal their shares of the key to the parties of the new one (suites/resharing.ts).
 *
 * | key generation                  | handing on                                                |
 * | ------------------------------- | --------------------------------------------------------- |
 * | everybody deals and receives    | old holders deal, new parties receive, witnesses watch    |
 * | proof of knowledge              | none: the constant is lambda_i x the old verifying share  |
 * | key id from session, group key  | key id and group key stay                                 |
 * | certificate of n statements     | the same, and it names the certificate before             |
 * @module
 */
import { BzzzError } from '../../base/errors.ts';
import { type Dealing, type DealingDeps, inOrder } from '../keygen/dealing.ts';
import { keyOfLink, openLink } from '../keys/certificate-link.ts';
import { wipe } from '../keys/sharefile.ts';
import { seatPeers } from '../sessions/proposal.ts';
import type { Deal, DkgSecret } from '../suites/types.ts';
import type { KeyInfo, KeyShare, ReshareProposal, SealedProposal } from '../types.ts';

/** The epoch that is handed on. */
export interface OldEpoch {
  readonly key: KeyInfo;
  /** Of its certificate. */
  readonly hash: Uint8Array;
  /** This party's share where it deals; wiped when it has dealt, or by its owner. */
  readonly share?: KeyShare;
}

const NO_PROOF = new Uint8Array(0);

/** @throws INTERNAL when a dealer holds no share of the old epoch: such proposals are refused. */
export function reshareDealing(
  { proposal }: SealedProposal<ReshareProposal>,
  old: OldEpoch,
  { clusterId, open, suite }: DealingDeps,
): Dealing {
  const { key } = old;
  const { threshold, parties } = proposal;
  const seats = seatPeers(proposal);
  const held = new Map(key.parties.map(({ peerId, index }) => [peerId, index]));
  /** Old index by seat; the coefficients are those of the old indices. */
  const indexAt = new Map(
    seats.flatMap((peer, i) => {
      const index = proposal.dealers.includes(peer) ? held.get(peer) : undefined;
      return index === undefined ? [] : [[i + 1, index] as const];
    }),
  );
  const dealers = [...indexAt.keys()];
  const indices = [...indexAt.values()].sort((a, b) => a - b);
  const deals = new WeakMap<DkgSecret, Deal>();
  const forget = (secret: DkgSecret): void => {
    wipe(...(deals.get(secret)?.subshares.values() ?? []));
    deals.delete(secret);
  };
  const suites = new Map([[suite.name, suite]]);
  return {
    seats,
    receivers: parties.length,
    dealers,
    begin(_seat, random) {
      const { share } = old;
      if (share === undefined) throw new BzzzError('INTERNAL', 'dealing without a share');
      const deal = suite.deal(share, indices, threshold, parties.length, random);
      wipe(share.signingShare);
      const secret: DkgSecret = { secret: 'dkg' };
      deals.set(secret, deal);
      return { secret, round1: { commitments: deal.commitments, proof: NO_PROOF } };
    },
    check(dealer, { commitments, proof }) {
      const index = indexAt.get(dealer);
      if (index === undefined || proof.length > 0) {
        throw new BzzzError('BAD_MESSAGE', `dealer ${dealer}: a proof where none belongs`);
      }
      suite.checkDeal(key, indices, index, threshold, commitments);
    },
    subshares: (secret) => deals.get(secret)?.subshares ?? new Map(),
    finish(seat, secret, _rounds, subshares) {
      const own = secret === undefined ? undefined : deals.get(secret)?.subshares.get(seat);
      const all = new Map(own === undefined ? subshares : [...subshares, [seat, own] as const]);
      if (all.size !== dealers.length) throw new BzzzError('INTERNAL', 'a subshare is missing');
      const share = suite.reshareFinish(seat, all);
      if (secret !== undefined) forget(secret);
      return share;
    },
    outcome: (rounds) =>
      suite.resharePublic(
        key,
        threshold,
        parties.length,
        inOrder(dealers, rounds).map(({ commitments }) => commitments),
      ),
    wipe: forget,
    keyId: () => key.keyId,
    verify(certificate) {
      const link = openLink(certificate, clusterId, { open, suites });
      return { sid: link.sealed.sid, keyInfo: keyOfLink(link, old) };
    },
  };
}
