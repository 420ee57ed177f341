/**
 * Who drives when: the proposer first, then the holders in an order that every party computes alike
 * and that differs from request to request, so no node is the fixed second.
 * @module
 */
import type { PeerId, RequestId } from '../../base/brands.ts';
import { utf8Bytes } from '../../base/bytes.ts';
import { type Ranking, rankPeers } from '../../base/rendezvous.ts';

const DRIVERS: Ranking = { tag: 'bzzz/sign/rank/1', first: 'smallest' };

/** @returns the holders other than the proposer, rank 1 first. */
export function rankHolders(
  requestId: RequestId,
  proposer: PeerId,
  holders: Iterable<PeerId>,
): readonly PeerId[] {
  const others = [...holders].filter((peer) => peer !== proposer);
  return rankPeers(DRIVERS, utf8Bytes(requestId), others);
}
