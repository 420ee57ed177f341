/**
 * Where a record belongs: the r members whose Kademlia identifiers are nearest to its key, whether
 * they can be reached or not (Maymounkov and Mazieres, 2002, section 2.1). Pure.
 *
 * Two majorities of one home meet in a member. Two majorities of whoever happened to be reachable
 * need not: that is why a read that must not miss the newest value counts the home alone.
 * @module
 */
import { peerIdFromString } from '@libp2p/peer-id';
import type { PeerId } from '../base/brands.ts';
import { compareBytes, sha256, taggedHash, utf8Bytes } from '../base/bytes.ts';

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

/**
 * `peers` in the order in which they take a turn at `key`, by rendezvous hashing (Thaler and
 * Ravishankar, 1998): everybody computes the same, and each key has another first one.
 */
export function byRank(key: Uint8Array, peers: readonly PeerId[]): readonly PeerId[] {
  return peers
    .map((peer) => ({ peer, weight: taggedHash('bzzz/repair/1', key, utf8Bytes(peer)) }))
    .sort((a, b) => compareBytes(b.weight, a.weight))
    .map(({ peer }) => peer);
}

/** Identifiers worth remembering: a few rosters of the largest size. */
const REMEMBERED = 1_024;
const identifiers = new Map<PeerId, Uint8Array>();

/** As kad-dht computes it: the hash of the peer id's multihash. */
function kadIdOf(peer: PeerId): Uint8Array {
  const known = identifiers.get(peer);
  if (known !== undefined) return known;
  const id = sha256(peerIdFromString(peer).toMultihash().bytes);
  if (identifiers.size >= REMEMBERED) identifiers.clear();
  identifiers.set(peer, id);
  return id;
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, i) => byte ^ (b[i] ?? 0));
}
