/**
 * Where a content's pieces live: at the r = min(5, members) members that rank first for it, and at
 * its writer.
 *
 * All pieces of a content have one home, so that one provider record names a holder of all of it.
 * Rank is rendezvous hashing over the roster (Thaler and Ravishankar, 1998): every member computes
 * the same order, and when one goes, only what it held moves. Members that cannot be reached are
 * passed over, so those that rank behind them hold the content instead.
 *
 * Holders *pull*: whoever wants a content held sends its list, and the holder fetches what it
 * lacks. It knows what it has verified, so a transfer that broke off goes on by itself, from any
 * provider; its own pace and its own quota bound what arrives; and there is one way in for pieces,
 * with one check, for holders, repair and readers. With pushing, the sender would have to know all
 * that, and a member could write to others' disks at its own pace.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { utf8Bytes } from '../../base/bytes.ts';
import { type Ranking, rankPeers } from '../../base/rendezvous.ts';

const HOME: Ranking = { tag: 'bzzz/blocks/home/1', first: 'smallest' };

/** Members by rising rank for a content. Pure. */
export function ranked(root: string, members: readonly PeerId[]): readonly PeerId[] {
  return rankPeers(HOME, utf8Bytes(root), members);
}
