/**
 * Rendezvous hashing (Thaler and Ravishankar, 1998): everybody puts the same peers in the same
 * order for a subject, each subject has another first one, and when a peer goes, the others keep
 * their order. Pure.
 * @module
 */
import type { PeerId } from './brands.ts';
import { compareBytes, taggedHash, utf8Bytes } from './bytes.ts';

/**
 * What a purpose ranks by. Both are part of what hosts agree on: with another tag or order they
 * would choose others.
 */
export interface Ranking {
  /** Of the hash; one for each purpose, so that a peer is not first at everything. */
  readonly tag: string;
  /** Whether the smallest or the greatest hash ranks first. */
  readonly first: 'smallest' | 'greatest';
}

/** `peers` in their order for `subject`, first rank first. */
export function rankPeers(
  { tag, first }: Ranking,
  subject: Uint8Array,
  peers: Iterable<PeerId>,
): readonly PeerId[] {
  const sign = first === 'smallest' ? 1 : -1;
  return [...peers]
    .map((peer) => ({ peer, weight: taggedHash(tag, subject, utf8Bytes(peer)) }))
    .sort((a, b) => sign * compareBytes(a.weight, b.weight))
    .map(({ peer }) => peer);
}
