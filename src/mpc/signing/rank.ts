/**
 * Who drives when: the proposer first, then the holders in an order that every party computes alike
 * and that differs from request to request, so no node is the fixed second.
 * @module
 */
import type { PeerId, RequestId } from '../../base/brands.ts';
import { compareBytes, taggedHash, utf8Bytes } from '../../base/bytes.ts';

/**
 * Rendezvous hashing (Thaler and Ravishankar, 1998) of the request over the holders.
 * @returns the holders other than the proposer, rank 1 first.
 */
export function rankHolders(
  requestId: RequestId,
  proposer: PeerId,
  holders: Iterable<PeerId>,
): readonly PeerId[] {
  const weigh = (peer: PeerId): Uint8Array =>
    taggedHash('bzzz/sign/rank/1', utf8Bytes(requestId), utf8Bytes(peer));
  return [...holders]
    .filter((peer) => peer !== proposer)
    .map((peer) => ({ peer, weight: weigh(peer) }))
    .sort((a, b) => compareBytes(a.weight, b.weight))
    .map(({ peer }) => peer);
}
