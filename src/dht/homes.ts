/**
 * Where a record belongs: the r members whose Kademlia identifiers are nearest to its key, whether
 * they can be reached or not (Maymounkov and Mazieres, 2002, section 2.1). Pure.
 *
 * Two majorities of one home meet in a member. Two majorities of whoever happened to be reachable
 * need not: that is why a read that must not miss the newest value counts the home alone.
 * @module
 */
import { peerIdFromString } from '@libp2p/peer-id';
import { BoundedMap } from '../base/bounded.ts';
import type { PeerId } from '../base/brands.ts';
import { compareBytes, sha256 } from '../base/bytes.ts';
import { type Ranking, rankPeers } from '../base/rendezvous.ts';

/** The `count` of `peers` nearest to `key`, nearest first. */
export function nearest(
  key: Uint8Array,
  peers: readonly PeerId[],
  count = peers.length,
): readonly PeerId[] {
  const target = sha256(key);
  return peers
    .map((peer) => ({ peer, distance: xor(target, kadIdOf(peer)) }))
    .sort((a, b) => compareBytes(a.distance, b.distance))
    .slice(0, count)
    .map(({ peer }) => peer);
}

const REPAIRERS: Ranking = { tag: 'bzzz/repair/1', first: 'greatest' };

/** `peers` in the order in which they take a turn at `key`. */
export function byRank(key: Uint8Array, peers: readonly PeerId[]): readonly PeerId[] {
  return rankPeers(REPAIRERS, key, peers);
}

/** Identifiers worth remembering: a few rosters of the largest size. */
const identifiers = new BoundedMap<PeerId, Uint8Array>(1_024);

/** As kad-dht computes it: the hash of the peer id's multihash. */
function kadIdOf(peer: PeerId): Uint8Array {
  const known = identifiers.get(peer);
  if (known !== undefined) return known;
  const id = sha256(peerIdFromString(peer).toMultihash().bytes);
  identifiers.set(peer, id);
  return id;
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, i) => byte ^ (b[i] ?? 0));
}
